"""Read YAML text into plain data with the position of each value; aliases and merge keys (<<) are written out."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import yaml
from yaml import events
from yaml.error import MarkedYAMLError

from kerascli.config.yaml.document import Document, Mark
from kerascli.config.yaml.scalars import Scalar, ScalarError, read_scalar
from kerascli.config.yaml.source import Brackets, Source
from kerascli.config.yaml.syntax import ASSIGNMENT, syntax_fault
from kerascli.foundation.errors import ConfigError, Fault, Path, Place
from kerascli.language.component import Invalid

MAX_DEPTH = 32
MAX_NODES = 60_000
_READ_OTHERWISE = re.compile(r"[\t?]|[|>]\S*#|^---", re.M)
"""Pattern of what libyaml accepts and PyYAML's own parser refuses, or what has other positions there."""


def parse_text(text: str, source: Source) -> tuple[Any, dict[Path, Mark], bool]:
    """Parse YAML text; return (plain data, position of each value, True if it is empty). Raises ConfigError."""
    if yaml.__with_libyaml__ and not _READ_OTHERWISE.search(text):  # faster, but it tells less about an error
        with suppress(ConfigError, yaml.YAMLError):
            return _parsed(yaml.CSafeLoader(text), source)
    return _parsed(yaml.SafeLoader(text), source)


def _parsed(parser: Any, source: Source) -> tuple[Any, dict[Path, Mark], bool]:
    reader = _Reader(parser, source)
    data, is_empty = None, False
    following: list[Fault] = []
    try:
        data, is_empty = reader.document()
        following = reader.clashes
    except Invalid as invalid:
        reader.faults += invalid.faults
    except MarkedYAMLError as error:
        following = [syntax_fault(error, source)]
    except (ValueError, OverflowError):  # PyYAML converts some numbers without checking their size
        mark = parser.get_mark()
        is_escape = "\\" in source.lines[mark.line][: mark.column]
        problem = "a broken escape: a backslash in double quotes" if is_escape else "this cannot be read as YAML"
        reader.add(problem, source.place(mark))
    split = reader.brackets.faults()  # if YAML split an unquoted expression, keys are not as intended
    if faults := [*split, *reader.faults, *([] if split else following)]:
        raise Document({}, {}, source.name).error(faults)
    return data, reader.marks, is_empty


class _Reader:
    """Reader of a YAML document; it collects config errors, and continues after an error if possible.

    Every value is a separate object, even if the text repeats it by an alias.
    """

    def __init__(self, parser: Any, source: Source) -> None:
        self._events = parser
        self.marks: dict[Path, Mark] = {}
        self.faults: list[Fault] = []
        self.clashes: list[Fault] = []
        """Config errors of keys that are set twice or cannot be merged."""
        self.brackets = Brackets(source)
        self._source = source
        self._anchored: dict[str, tuple[Path, Any]] = {}
        """Config path and value of each anchor whose value has been read."""
        self._anchors: dict[str, Place] = {}
        self._count = 0
        self._flow = 0
        """Number of [] and {} around the present event."""

    def add(self, text: str, place: Place | None, hint: str | None = None) -> None:
        self.faults.append(Fault(text, place=place, hint=hint))

    def document(self) -> tuple[Any, bool]:
        """Read the document; return its data, and True if it is empty. Raises Invalid and YAMLError."""
        self._events.get_event()
        if self._events.check_event(events.StreamEndEvent):
            return None, True
        self._events.get_event()
        root = self._events.get_event()
        data, place = self._node(root, ())
        self._mark((), Mark(None, place))
        self._events.get_event()
        if self._events.check_event(events.DocumentStartEvent):
            place = self._source.place(self._events.get_event().start_mark)
            raise _fatal("a config is one YAML document; a second one starts here", place)
        self._events.check_event(events.StreamEndEvent)
        return data, _is_absent(root)

    def _mark(self, path: Path, mark: Mark) -> None:
        """Record the position of a value."""
        self.marks[path] = mark
        if len(self.marks) > MAX_NODES:
            raise _fatal(f"more than {MAX_NODES:,} values, with all aliases written out", mark.value)
        if len(path) > MAX_DEPTH:
            raise _fatal(f"nested deeper than {MAX_DEPTH} levels", mark.value)

    def _node(self, event: Any, path: Path) -> tuple[Any, Place]:
        """Return the data of a node at a config path, and its position; record the positions of what is in it."""
        place = self._source.place(event.start_mark, event.end_mark)
        self._count += 1
        if self._count > MAX_NODES:
            raise _fatal(f"more than {MAX_NODES:,} keys and values", place)
        anchor = event.anchor
        if isinstance(event, events.AliasEvent):
            return self._alias(anchor, path, place), place
        if event.tag is not None:
            self.add("tags ('!...') are not allowed: a config is data only", place)
        if anchor in self._anchors:
            self.add(f"anchor '&{anchor}' is set twice; first at line {self._anchors[anchor].line}", place)
        if anchor is not None:
            self._anchors[anchor] = place
        if isinstance(event, events.ScalarEvent):
            value: Any = self._scalar(event, place)
        else:
            value, place = self._collection(event, path, place)
        if anchor is not None:
            self._anchored[anchor] = path, value
        return value, place

    def _collection(self, start: Any, path: Path, place: Place) -> tuple[Any, Place]:
        if len(path) >= MAX_DEPTH:
            raise _fatal(f"nested deeper than {MAX_DEPTH} levels", place)
        self._flow += bool(start.flow_style)
        if isinstance(start, events.MappingStartEvent):
            value, place = self._mapping(start, path, place)
        else:
            value = self._list(path)
        end = self._events.get_event().end_mark
        if start.flow_style:
            self._flow -= 1
            if place.line == end.line + 1 and place.column is not None:
                place = replace(place, length=end.column + 1 - place.column)
            if not self._flow:
                self.brackets.end()
        return value, place

    def _alias(self, anchor: str, path: Path, place: Place) -> Any:
        if anchor in self._anchored:
            origin, value = self._anchored[anchor]
            return self._copied(value, origin, path)
        if anchor in self._anchors:
            self.add(f"alias '*{anchor}' is inside the value that it refers to", place)
        else:
            self.add(f"there is no anchor '&{anchor}' above", place, hint="quote text that starts with '*'")
        return {}

    def _copied(self, value: Any, origin: Path, path: Path) -> Any:
        """Return a copy of the value at the config path `origin` for another path, with the positions of its parts."""
        if not isinstance(value, (dict, list)):
            return value
        copied: Any = value.copy()
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            self._mark((*path, key), self.marks[(*origin, key)])
            copied[key] = self._copied(item, (*origin, key), (*path, key))
        return copied

    def _scalar(self, event: events.ScalarEvent, place: Place) -> Scalar:
        if half := next((c for c in event.value if "\ud800" <= c <= "\udfff"), None):
            self.add(f"the escape of half a character (U+{ord(half):04X})", place)
        if event.style:  # quoted, or a block
            return event.value
        self.brackets.see(event, in_flow=self._flow > 0)
        try:
            return read_scalar(event.value)
        except ScalarError as error:
            if not self._is_decimal_comma(event.value, place):
                self.add(error.text, place, hint=error.hint)
            return event.value

    def _list(self, path: Path) -> list[Any]:
        items: list[Any] = []
        for event in self._until(events.SequenceEndEvent):
            below = (*path, len(items))
            item, place = self._node(event, below)
            self._mark(below, Mark(None, place))
            if isinstance(event, events.MappingStartEvent) and not event.flow_style:
                self._check_siblings(item, below)
            items.append(item)
        return items

    def _mapping(self, start: events.MappingStartEvent, path: Path, place: Place) -> tuple[dict[Any, Any], Place]:
        """Return a mapping, whose own keys override those that `<<` merges, and its position.

        In block style the position is that of the first key.
        """
        own: dict[str | int, Any] = {}
        merged: dict[str | int, tuple[Path, Any]] = {}
        keys: dict[str | int, Place] = {}
        for event in self._until(events.MappingEndEvent):
            key, at = self._node(event, (*path, "<<"))
            following = self._events.get_event()
            if not self._is_key(key, event, at, is_alone=bool(start.flow_style) and _is_absent(following)):
                self._node(following, (*path, "<<"))
                continue
            below = (*path, key)
            value, where = self._node(following, below)
            is_block = isinstance(following, events.CollectionStartEvent) and not following.flow_style
            self._mark(below, Mark(at, at if is_block or _is_absent(following) else where))
            if (first := keys.setdefault(key, at)) is not at:
                line = f"{first.line}" if first.line != at.line else f"{first.line}, column {first.column}"
                self.clashes.append(Fault(f"duplicate key '{key}'; first set at line {line}", place=at))
            elif key == "<<" and not event.style:
                merged = self._merged(value, below)
            else:
                own[key] = value
        data = dict.fromkeys(merged) | own
        for key in (key for key in merged if key not in own):
            origin, value = merged[key]
            self._mark((*path, key), self.marks[origin])
            data[key] = self._copied(value, origin, (*path, key))
        return data, place if start.flow_style else next(iter(keys.values()), place)

    def _merged(self, value: Any, path: Path) -> dict[str | int, tuple[Path, Any]]:
        """Return (config path, value) of each key of the mappings that are the value of `<<`, by key."""
        sources = {(*path, i): item for i, item in enumerate(value)} if isinstance(value, list) else {path: value}
        merged: dict[str | int, tuple[Path, Any]] = {}
        for origin, source in reversed(sources.items()):  # the first of several wins
            if isinstance(source, dict):
                merged |= {key: ((*origin, key), item) for key, item in source.items()}
            else:
                text = "'<<' merges a mapping or a list of mappings, by alias: '<<: *name'"
                self.clashes.append(Fault(text, place=self.marks[origin].value))
        return merged

    def _until(self, end: type[events.Event]) -> Iterator[Any]:
        while not self._events.check_event(end):
            yield self._events.get_event()

    def _is_decimal_comma(self, decimals: str, place: Place) -> bool:
        """Return True, and report it, if an unquoted scalar is what follows the comma of a number such as `0,001`."""
        before = re.search(r"(?<![\w.])[-+]?\d+,$", place.source[: (place.column or 1) - 1])
        if before is None or not decimals.isdecimal():
            return False
        place = replace(place, column=before.start() + 1, length=len(before[0]) + len(decimals))
        text, number = f"a decimal comma in '{before[0]}{decimals}'", f"{before[0][:-1]}.{decimals}"
        self.add(text, place, hint=f"use a decimal point: {number}")
        return True

    def _check_siblings(self, item: dict[Any, Any], path: Path) -> None:
        """Report a list item `- dense:` whose arguments (`units: 3`) are not indented deeper than its name."""
        first, second, *_ = (*item, None, None)
        if second is None or (*path, "<<") in self.marks:  # merged keys come first, wherever they are written
            return
        mark, other = self.marks[(*path, first)], self.marks[(*path, second)]
        if item[first] is None and mark.value is mark.key:  # nothing is written
            hint = f"indent what belongs to '{first}' deeper than '{first}' itself"
            self.add(f"'{second}' is on the same level as '{first}', not nested in it", other.key, hint=hint)

    def _is_key(self, key: Any, event: events.Event, place: Place, *, is_alone: bool) -> bool:
        """Return True if a key is text or an integer, else report it.

        With `is_alone` it has no value, as YAML reads `{rate: 0,5}`, `{units:3}` and `{units = 3}`, which are reported.
        """
        if not isinstance(event, events.ScalarEvent) or isinstance(key, (bool, float)) or key is None:
            hint = "write it without { }, or as name: value" if is_alone else "quote it"
            self.add("a key must be text or an integer", place, hint=hint)
            return False
        if not is_alone or event.style or self._is_decimal_comma(event.value, place):
            return True
        if ":" in event.value:
            self.add(f"a space is missing after ':' in '{key}'", place)
        elif match := ASSIGNMENT.fullmatch(event.value):
            self.add(f"'{match[2]}' in place of ':' in '{key}'", place, hint=f"write {match[1]}: {match[3]}")
        return True


def _fatal(text: str, place: Place) -> Invalid:
    """Return the error in YAML text after which the rest of the text cannot be read."""
    return Invalid([Fault(text, place=place)])


def _is_absent(event: events.Event) -> bool:
    """Return True for the empty value of a key without a value, such as `units:`."""
    return isinstance(event, events.ScalarEvent) and not event.style and event.value == ""
