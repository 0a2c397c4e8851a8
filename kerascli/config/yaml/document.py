"""Config as plain data with the position of each key and value (Document), and errors located by it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from kerascli.foundation.errors import At, ConfigError, Fault, Path, Place

MAX_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Mark:
    """Positions in the config's text of a value and of its key (None for list items and the root)."""

    key: Place | None
    value: Place


class Faulty(ConfigError):
    """ConfigError of several distinct errors in a config; it prints the first twenty, `everything` holds all."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.everything = tuple(dict.fromkeys(faults))
        more = len(self.everything) - MAX_FAULTS
        super().__init__([*self.everything[:MAX_FAULTS], *([Fault(f"... and {more} more")] if more > 0 else [])])


@dataclass(frozen=True, slots=True)
class Document:
    """Config as plain data (dicts, lists, scalars); `marks` maps the path of each value to its position in the text."""

    data: dict[str | int, Any]
    marks: Mapping[Path, Mark]
    name: str
    """Name of the config file in error messages."""
    folders: Mapping[str, FilePath] = field(default_factory=dict)
    """Mapping from each file (or command line option) that sets values of the config to the base folder of its relative
    paths."""
    text: str = ""
    """Text of the config file itself, without the configs that it extends."""

    def folder_of(self, path: Path) -> FilePath:
        """Return the folder to which a relative file name at a config path refers.

        This is the folder of the file, or the folder for the command line option, that set the value.
        """
        return self.folders.get(self.mark(path).value.file, FilePath())

    def locate(self, fault: Fault) -> Fault:
        """Return a config error with its position in the text, found by its config path.

        If the text lacks that path, the position is that of the longest beginning of it.
        """
        related = tuple(replace(r, place=self._place(r.path, "key")) if r.place is None else r for r in fault.related)
        place = fault.place or self._span(fault) or self._place(fault.path, fault.at)
        return replace(fault, place=place, related=related, span=None)

    def _span(self, fault: Fault) -> Place | None:
        """Return the position of the part of a text value that a config error is about; None if unknown, as in a text
        with `$` references."""
        path = self._written(fault.path)
        is_plain = isinstance(text := self.at(path), str) and "$" not in text
        return self.point(path, *fault.span) if fault.span is not None and is_plain else None

    def _place(self, path: Path, at: At) -> Place:
        mark = self.mark(path)
        return mark.key if mark.key is not None and path in self.marks and at == "key" else mark.value

    def point(self, path: Path, column: int, length: int) -> Place:
        """Return the position of `length` characters of a text value, from character `column` (counted from 1) on.

        The position of the whole value is returned if the part cannot be located (in a block scalar, an alias, a text
        with escapes).
        """
        place = self.mark(path).value
        text = self.at(path)
        if not isinstance(text, str) or place.line is None or place.column is None:
            return place
        start = place.column - 1
        start += place.source[start : start + 1] in {"'", '"'}
        if not place.source.startswith(text, start):  # a block scalar, an alias or escapes
            return place
        return replace(place, column=start + column, length=length)

    def at(self, path: Path) -> Any:
        """Return the value at a config path (keys and indices); None if the config does not have the path."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def mark(self, path: Path) -> Mark:
        """Return the position in the text of a config path, or of the longest beginning of it that exists."""
        return self.marks.get(self._written(path)) or Mark(None, Place(self.name))

    def error(self, faults: Iterable[Fault]) -> Faulty:
        """Return one ConfigError with several errors, located in the text, sorted by line, without duplicates."""
        located = map(self.locate, faults)
        # without config paths, errors of equal message and position are equal
        return one_error((replace(fault, path=(), at="value") for fault in located), self.name)

    def _written(self, path: Path) -> Path:
        """Return the longest beginning of a config path that the config has."""
        return next((path[:length] for length in range(len(path), 0, -1) if path[:length] in self.marks), ())


def one_error(faults: Iterable[Fault], name: str = "") -> Faulty:
    """Return one ConfigError with several config errors, sorted by line; those in the file `name` come first."""
    everything = list(faults)
    files = [name, *(fault.place.file for fault in everything if fault.place)]

    def order(fault: Fault) -> tuple[int, int, int]:
        place = fault.place
        return (files.index(place.file), place.line or 0, place.column or 0) if place else (len(files), 0, 0)

    return Faulty(sorted(everything, key=order))
