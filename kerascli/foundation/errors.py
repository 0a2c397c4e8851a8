"""Errors that a user can cause: exceptions, and data classes for a message and its position in the config.

KerasCliError                 exit code
├── ConfigError               2   the config, a flag or an option
├── DataError                 3   the data
├── FileRefused               4   a file that is corrupt, hostile or does not match
├── TrainingStopped           5   a non-finite loss, or no memory left
├── StorageError              6   the disk or its permissions
└── Interrupted               129 (SIGHUP), 130 (Ctrl-C) or 143 (SIGTERM), after saving
"""

import difflib
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

from kerascli.foundation.replaced import replaced

CREDENTIAL = (
    r"(?:[\w-]*[-_])?(?:signature|sig|credential|(?:security|access|auth)?[-_]?token|password|passwd|pwd|user(?:name)?"
    r"|secret|(?:api|access|secret)[-_]?key(?:[-_]?id)?|awsaccesskeyid)"
)
"""Pattern of the names of parameters of an address that hold credentials, also of addresses signed in advance."""
_CREDENTIALS = re.compile(rf"(?i)(?<=://)[^/@\s'\"]+(?=@)|(?P<name>[?&]{CREDENTIAL}=)(?P<value>[^&\s'\"}}]+)")

Path = tuple[str | int, ...]
"""Path of keys and indices to a value in a config: ("model", "layers", 0, "dense", "units")."""


At = Literal["key", "value"]
"""Type of the part of a config that an error is about: a key, or the value at a path."""


def dotted(path: Path) -> str:
    """Return the path of a value in a config as text: `model.layers[0].dense.units`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def leaves(value: Any, divides: Callable[[list[Any]], bool], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield (path, value) for each value in nested mappings, and in the lists for which `divides` is true; an empty one
    is a value. `path` is that of the outermost value."""
    parts: list[tuple[str | int, Any]] = []
    if isinstance(value, Mapping):
        parts += [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list) and divides(value):
        parts += enumerate(value)
    for key, each in parts:
        yield from leaves(each, divides, (*path, key))
    if not parts:
        yield path, value


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a value whose nested mappings and lists have what `change` makes of each value in them; tuples become
    lists."""
    if isinstance(value, Mapping):
        return {key: mapped(each, change) for key, each in value.items()}
    return [mapped(each, change) for each in value] if isinstance(value, (list, tuple)) else change(value)


@dataclass(frozen=True, slots=True)
class Place:
    """Position in a file; lines (or rows) and columns count from 1, `source` is the whole line.

    `name` is that of a column of a table, which stands for the number of the column in the line.
    """

    file: str
    line: int | None = None
    column: int | None = None
    source: str = ""
    length: int = 1
    name: str = ""

    def __str__(self) -> str:
        parts = [str(n) for n in (self.line, self.name or self.column) if n is not None]
        return safe_text(":".join([self.file, *parts]))


@dataclass(frozen=True, slots=True)
class Related:
    """Note of an error message about another position in the config: the text, with the config path or the file
    position."""

    text: str
    path: Path = ()
    place: Place | None = None


def used_here(uses: Iterable[Path]) -> tuple[Related, ...]:
    """Return notes for an error inside a block of layers; they point to `uses`, the config paths at which the block is
    used."""
    return tuple(Related("used here", path) for path in uses)


@dataclass(frozen=True, slots=True)
class Fault:
    """Error or warning about a config. `path` and `at` (key or value) locate it; `place` is its file position, once
    known."""

    text: str
    path: Path = ()
    at: At = "value"
    place: Place | None = None
    hint: str | None = None
    level: Literal["error", "warning"] = "error"
    related: tuple[Related, ...] = ()
    span: tuple[int, int] | None = None
    """Column (from 1) and length of the part that the error is about, in the text at `path`; None: the whole text."""

    def below(self, path: Path) -> "Fault":
        """Return a copy of the error with `path` put in front of its config path."""
        return replace(self, path=(*path, *self.path))

    def lines(self) -> list[str]:
        """Return the lines of the error message: position and text, source line with caret, notes, hint."""
        where = f"{self.place}: " if self.place else ""
        out = [f"{where}{self.level}: {safe_text(self.text, 2000)}"]
        out += _excerpt(self.place) if self.place and self.place.line is not None and self.place.source else []
        out += [f"  note: {safe_text(other.text, 2000)} ({other.place})" for other in self.related if other.place]
        out += [f"  hint: {safe_text(self.hint, 2000)}"] if self.hint else []
        return [_CREDENTIALS.sub(lambda m: (m["name"] or "") + "*" * len(m["value"] or m[0]), line) for line in out]


class KerasCliError(Exception):
    """Base class of errors that a user can cause and repair; it holds error messages (`Fault`) with positions."""

    exit_code: int = 1

    def __init__(
        self, fault: str | Fault | Iterable[Fault], *,
        path: Path = (), place: Place | str | None = None, hint: str | None = None,
    ) -> None:  # fmt: skip
        """Create an error from a message, with its config path, its place or file name and a hint, or from faults."""
        if isinstance(fault, str):
            fault = Fault(fault, path, place=Place(place) if isinstance(place, str) else place, hint=hint)
        self.faults = (fault,) if isinstance(fault, Fault) else tuple(fault)
        super().__init__("\n".join(f.text for f in self.faults))


class ConfigError(KerasCliError):
    exit_code = 2


class DataError(KerasCliError):
    exit_code = 3


class DataMissing(DataError):
    """Error for a file or folder of the data that does not exist."""


class FileRefused(KerasCliError):
    exit_code = 4


class TrainingStopped(KerasCliError):
    exit_code = 5


class ProcessLost(TrainingStopped):
    """Error of a training run: another process of it has failed, has ended, or does not answer.

    The exit code is that of the process that failed, if it said why, so that all end with the same one.
    """

    def __init__(self, fault: str | Fault | Iterable[Fault], *, exit_code: int = TrainingStopped.exit_code) -> None:
        super().__init__(fault)
        self.exit_code = exit_code


class StorageError(KerasCliError):
    exit_code = 6


class Interrupted(KerasCliError):
    """Error that ends a training run interrupted by a signal, after a checkpoint is saved.

    The exit code is 129 for SIGHUP, 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, fault: str | Fault, *, signal_number: int, hint: str | None = None) -> None:
        super().__init__(fault, hint=hint)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class Paused(KerasCliError):
    """Error that ends a training run after an epoch, saved such that it can be resumed, for a reason other than a
    signal."""


_MAX_SEARCHES, _MAX_SEARCHES_AMONG = 1000, 100
_searches: dict[tuple[str, ...], dict[str, str | None]] | None = None
"""Results of `nearest` by known words and word, in a block of `limited_suggestions`."""


def limited_suggestions() -> AbstractContextManager[None]:
    """Return a context manager in whose block `nearest` searches for a limited number of words: few errors are
    printed."""
    return replaced(sys.modules[__name__], "_searches", {})


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the known word most similar to `word`, or None if none is similar; keys that are not text are ignored."""
    words = tuple(each for each in candidates if isinstance(each, str))
    searches = {} if _searches is None else _searches
    among = searches.setdefault(words, {})
    if word not in among:
        if len(among) >= _MAX_SEARCHES_AMONG or len(searches) > _MAX_SEARCHES:
            return None
        written = word.lower()
        same = (each for each in words if each.lower() == written)
        swapped = (each for each in words if len(each) > 2 and sorted(each) == sorted(written))  # difflib: two mistakes
        among[word] = next(chain(same, swapped, difflib.get_close_matches(written, words, n=1, cutoff=0.6)), None)
    return among[word]


def suggestion(word: str, candidates: Iterable[str]) -> str:
    """Return the clause `; did you mean 'units'?` with the known word most similar to `word`; an empty text if there is
    none."""
    near = nearest(word, candidates)
    return f"; did you mean '{near}'?" if near else ""


def one_of(words: Sequence[str]) -> str:
    """Return words as an enumeration for a message: `a, b or c`."""
    *others, last = map(str, words)
    return f"{', '.join(others)} or {last}" if others else last


def there_are(words: Iterable[str]) -> str:
    """Return words as a clause: `there is a` for one word, `there are a, b` for several."""
    words = list(words)
    return f"there {'is' if len(words) == 1 else 'are'} {', '.join(words)}"


_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})


def plain_name(text: object) -> str | None:
    """Return a text as a name of ASCII letters, digits and '_', in German spelling: `größe` becomes `groesse`.

    None if nothing is left of it.
    """
    spelled = unicodedata.normalize("NFC", str(text)).translate(_SPELLED)
    letters = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    name = re.sub(r"\W+", "_", letters).strip("_")
    return f"n_{name}" if name[:1].isdigit() else name or None


def show(value: object) -> str:
    """Return a value from a config or file as error messages show it.

    It is shown with its type, cut at 60 characters, and without unprintable characters.
    """
    match value:
        case None:
            return "nothing (null)"
        case str():
            return f"the text '{_cut(safe_text(value))}'"
        case dict():
            return f"a mapping of {counted(len(value), 'key')}"
        case list() | tuple():
            return f"the list {_cut(safe_text(in_yaml(value)))}"
        case _:
            return _cut(safe_text(in_yaml(value)))


def a_or_an(noun: str) -> str:
    """Return a noun with its article: `a layer`, `an optimizer`."""
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def in_yaml(value: object) -> str:
    """Return a value for error messages, approximately in YAML's flow style."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "{" + ", ".join(f"{in_yaml(key)}: {in_yaml(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(in_yaml, value)) + "]"
        case _:
            return str(value)


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or the name of its class if it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def safe_text(text: str, limit: int = 500) -> str:
    """Return untrusted text made safe for a terminal: control, escape and bidi characters become \\x1b forms."""
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    if text.isprintable():
        return text
    unsafe = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in unsafe else c for c in text)


def safe_lines(text: str) -> str:
    """Return untrusted text of any length, made safe for a terminal by `safe_text`, with its line breaks."""
    return "\n".join(safe_text(line, len(line)) for line in text.split("\n"))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 key`, `2 keys`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _excerpt(place: Place) -> list[str]:
    """Return the line at a place with a caret under its column; of a long line, and of any in data, a part."""
    column = place.column or 1
    lead, width = (60, 110) if place.column and not place.name else (40, 80)
    source = place.source.replace("\t", " ").rstrip(" \n")
    start = max(0, column - 1 - lead) if len(source) > width else 0
    number = str(place.line)
    shown = [f"  {number} | {safe_text(source[start : start + width])}"]
    if place.column is None:
        return shown
    caret = " " * len(safe_text(source[start : column - 1])) + "^" * max(1, min(place.length, lead))
    return [*shown, f"  {' ' * len(number)} | {caret}"]
