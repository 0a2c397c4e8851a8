"""Collector of the errors of a config that the readers of a model section find."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, TypeVar

from kerascli.foundation.errors import Fault, Path, Related, show, used_here
from kerascli.language.component import Invalid
from kerascli.language.section import BaseSection, read_section

S = TypeVar("S", bound=BaseSection)


class Faults:
    """Collector of the config errors of one section; the paths given to its methods are relative to the section."""

    def __init__(self, section: Path) -> None:
        self.section = section
        self.found: list[Fault] = []
        self.uses: tuple[Path, ...] = ()
        """Config paths at which the nested blocks (templates of layers) that are being read are used, outermost
        first."""
        self._reported: set[tuple[str, Path]] = set()

    def add(
        self,
        text: str,
        path: Path,
        *,
        at: Literal["key", "value"] = "value",
        hint: str | None = None,
        related: tuple[Related, ...] = (),
    ) -> None:
        self.take([Fault(text, (*self.section, *path), at, hint=hint, related=related)])

    def absorb(self, invalid: Invalid, path: Path) -> None:
        """Add the config errors of an Invalid exception; their paths are relative to `path` in the section."""
        self.take(invalid.below((*self.section, *path)).faults)

    def take(self, faults: Iterable[Fault]) -> None:
        """Add config errors with complete paths; an error inside a block (template of layers) is added only once for
        all its uses."""
        for fault in faults:
            if not self.uses:
                self.found.append(fault)
                continue
            key = fault.text, fault.path
            if key not in self._reported:
                self.found.append(replace(fault, related=(*fault.related, *used_here(self.uses))))
            else:
                self.found.append(REPORTED)
            self._reported.add(key)

    def read(self, cls: type[S], written: Mapping[Any, Any], path: Path, title: str | None = None) -> S:
        """Return the mapping `written`, at `path`, parsed as a section of the class `cls`; add the errors
        of its keys."""
        section, found = read_section(cls, written, (*self.section, *path), title)
        self.take(found)
        return section

    def is_flag(self, value: Any, path: Path) -> bool:
        """Return True if a value is a bool; otherwise report a config error."""
        if isinstance(value, bool):
            return True
        self.add(f"{path[-1]}: expected true or false, got {show(value)}", path)
        return False

    def all(self) -> list[Fault]:
        """Return the config errors found so far, without duplicates."""
        return [fault for fault in dict.fromkeys(self.found) if fault is not REPORTED]

    @contextmanager
    def used_at(self, path: Path) -> Iterator[None]:
        """Context manager for reading a block of layers for its use at `path`; errors that are found meanwhile note
        that use."""
        before = self.uses
        self.uses = (*before, (*self.section, *path))
        try:
            yield
        finally:
            self.uses = before


REPORTED = Fault("reported already")
"""Placeholder for a config error inside a block (template of layers) that was reported for an earlier use of the
block."""
