"""Collector of the config errors that are found while a `model` section is parsed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from kerascli.foundation.errors import At, Fault, Path, Related, show, used_here
from kerascli.language.component import Invalid
from kerascli.language.section import BaseSection, Written, read_section
from kerascli.model.ir.nodes import Use

S = TypeVar("S", bound=BaseSection)


class Faults:
    """Collector of config errors."""

    def __init__(self) -> None:
        self.count = 0
        """Number of errors so far, including repeated ones that are reported only once."""
        self.uses: tuple[Use, ...] = ()
        """Uses of the nested blocks (templates of layers) that are being read, outermost first."""
        self._faults: list[Fault] = []
        self._in_blocks: set[tuple[str, Path]] = set()

    def add(
        self, text: str, path: Path, at: At = "value", *, hint: str | None = None, related: tuple[Related, ...] = ()
    ) -> None:
        self.take([Fault(text, path, at, hint=hint, related=related)])

    @contextmanager
    def absorbing(self, path: Path = ()) -> Iterator[None]:
        """Context manager that collects the config errors of an Invalid exception raised in its block.

        The paths of the exception's errors are relative to `path`.
        """
        try:
            yield
        except Invalid as invalid:
            self.take(invalid.below(path).faults)

    def take(self, faults: Iterable[Fault]) -> None:
        """Add config errors; an error in a block (template of layers) counts once for all uses."""
        for fault in faults:
            self.count += 1
            key = fault.text, fault.path
            if not self.uses:
                self._faults.append(fault)
            elif key not in self._in_blocks:
                self._in_blocks.add(key)
                self._faults.append(replace(fault, related=(*fault.related, *used_here(use.path for use in self.uses))))

    def read(self, cls: type[S], written: Written, path: Path, title: str | None = None) -> S:
        """Parse the mapping `written` as a section of the class `cls`, and collect the errors of its keys.

        `path` is the config path of the mapping, `title` its name in errors.
        """
        section, faults = read_section(cls, written, path, title)
        self.take(faults)
        return section

    def is_flag(self, value: Any, path: Path) -> bool:
        """Return True if a config value is a bool; otherwise add a config error."""
        if isinstance(value, bool):
            return True
        self.add(f"{path[-1]}: expected true or false, got {show(value)}", path)
        return False

    def all(self) -> list[Fault]:
        """Return all collected config errors, without duplicates."""
        return list(dict.fromkeys(self._faults))
