"""Where the readers of a model section put what they find wrong."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, TypeVar

from kerascli.component import Invalid
from kerascli.errors import Fault, Path, Related, show, used_here
from kerascli.section import BaseSection, read_section

S = TypeVar("S", bound=BaseSection)


class Faults:
    """Collects faults; paths are relative to the section."""

    def __init__(self, section: Path) -> None:
        self.section = section
        self.found: list[Fault] = []
        self.uses: tuple[Path, ...] = ()
        """Where the block is used that is being read; absolute."""
        self._told: set[tuple[str, Path]] = set()

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
        """The faults of what stands at `path`."""
        self.take(invalid.below((*self.section, *path)).faults)

    def take(self, faults: Iterable[Fault]) -> None:
        """Faults whose paths are complete; in a block, those that another use of it has too are told once."""
        for fault in faults:
            if not self.uses:
                self.found.append(fault)
                continue
            key = fault.text, fault.path
            if key not in self._told:
                self.found.append(replace(fault, related=(*fault.related, *used_here(self.uses))))
            else:
                self.found.append(TOLD)
            self._told.add(key)

    def read(self, cls: type[S], written: Mapping[Any, Any], path: Path, title: str | None = None) -> S:
        """What is written at `path`; keys that are not known are faults."""
        section, found = read_section(cls, written, (*self.section, *path), title)
        self.take(found)
        return section

    def is_flag(self, value: Any, path: Path) -> bool:
        """Whether a value is true or false; if not, there is a fault."""
        if isinstance(value, bool):
            return True
        self.add(f"{path[-1]}: expected true or false, got {show(value)}", path)
        return False

    def all(self) -> list[Fault]:
        """What was found, each once."""
        return [fault for fault in dict.fromkeys(self.found) if fault is not TOLD]

    @contextmanager
    def used_at(self, path: Path) -> Iterator[None]:
        """While the body of a block is read that is used at `path`, relative to the section."""
        before = self.uses
        self.uses = (*before, (*self.section, *path))
        try:
            yield
        finally:
            self.uses = before


TOLD = Fault("told already")
"""Stands for a fault that an earlier use of the block has, too."""
