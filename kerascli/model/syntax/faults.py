"""Where the readers of a model section put what they find wrong."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from kerascli.component import Invalid
from kerascli.errors import Fault, Path, Related, show, suggestion, used_here


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

    def unknown_keys(
        self, written: Iterable[Any], known: Sequence[str], whose: str, path: Path, hint: str | None = None
    ) -> None:
        """Add a fault for every key that is not known; `hint` introduces the list of all, where none is near."""
        for key in written:
            if key not in known:
                meant = suggestion(str(key), known)
                listed = f"{hint} {', '.join(known)}" if hint and not meant else None
                self.add(f"unknown key '{key}' in {whose}{meant}", (*path, key), at="key", hint=listed)

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
