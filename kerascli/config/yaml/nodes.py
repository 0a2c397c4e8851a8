"""Parsing of YAML text into nodes with positions, which the module `expand` converts to plain data."""

import re
from collections.abc import Iterator
from dataclasses import replace

from yaml import events
from yaml.error import MarkedYAMLError
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from kerascli.config.yaml.scalars import Scalar, ScalarError, read_scalar
from kerascli.config.yaml.source import Brackets, Source
from kerascli.config.yaml.syntax import ASSIGNMENT, syntax_fault
from kerascli.config.yaml.tree import AliasNode, ListNode, MapNode, Node, ScalarNode
from kerascli.foundation.errors import Fault, Place

MAX_DEPTH = 32
MAX_NODES = 60_000


class Fatal(Exception):
    """Exception for an error in YAML text after which the rest of the text cannot be parsed."""

    def __init__(self, text: str, place: Place) -> None:
        super().__init__(text)
        self.fault = Fault(text, place=place)


class _Events(Reader, Scanner, Parser):
    """Source of PyYAML's parse events: its reader, scanner and parser, without composer, resolver and constructor."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)


class NodeReader:
    """Parser of a YAML document into nodes; it collects config errors, and continues after an error if possible."""

    def __init__(self, text: str, source: Source) -> None:
        self.source = source
        self.faults: list[Fault] = []
        self._events = _Events(text)
        self._anchors: dict[str, Node] = {}
        self._open: set[str | None] = set()
        self._brackets = Brackets(source)
        self._count = 0

    def read(self) -> Node | None:
        """Parse the document and return its root node; None for an empty text, or after an error that ended parsing."""
        root = None
        try:
            root = self._document()
        except Fatal as fatal:
            self.faults.append(fatal.fault)
        except MarkedYAMLError as error:
            if not self.splits_expression:  # else the error follows from the split
                self.faults.append(syntax_fault(error, self.source))
        except (ValueError, OverflowError):  # PyYAML converts some numbers without checking their size
            mark = self._events.get_mark()
            is_escape = "\\" in self.source.lines[mark.line][: mark.column]
            text = "a broken escape: a backslash in double quotes" if is_escape else "this cannot be read as YAML"
            self._add(text, self.source.place(mark))
        self.faults = self._brackets.faults() + self.faults
        return root

    @property
    def splits_expression(self) -> bool:
        """True if YAML split an unquoted expression (at a comma ...), so that keys are not as intended."""
        return bool(self._brackets.faults())

    def _add(self, text: str, place: Place, hint: str | None = None) -> None:
        self.faults.append(Fault(text, place=place, hint=hint))

    def _document(self) -> Node | None:
        self._events.get_event()
        if self._events.check_event(events.StreamEndEvent):
            return None
        self._events.get_event()
        root = self._node(self._events.get_event(), 0)
        self._events.get_event()
        if self._events.check_event(events.DocumentStartEvent):
            place = self.source.place(self._events.get_event().start_mark)
            raise Fatal("a config is one YAML document; a second one starts here", place)
        self._events.check_event(events.StreamEndEvent)
        return root

    def _node(self, event: events.Event, depth: int) -> Node:
        assert isinstance(event, events.NodeEvent)
        place = self.source.place(event.start_mark, event.end_mark)
        self._count += 1
        if self._count > MAX_NODES:
            raise Fatal(f"more than {MAX_NODES:,} keys and values", place)
        if isinstance(event, events.AliasEvent):
            return self._alias(event.anchor, place)
        if getattr(event, "tag", None) is not None:
            self._add("tags ('!...') are not allowed: a config is data only", place)
        if isinstance(event, events.ScalarEvent):
            node: Node = self._scalar(event, place)
        else:
            assert isinstance(event, events.CollectionStartEvent)
            if depth >= MAX_DEPTH:
                raise Fatal(f"nested deeper than {MAX_DEPTH} levels", place)
            flow = bool(event.flow_style)
            kind = MapNode if isinstance(event, events.MappingStartEvent) else ListNode
            node = kind(place, flow=flow)
        self._define(event.anchor, node)
        if isinstance(node, MapNode):
            self._fill_mapping(node, depth)
        elif isinstance(node, ListNode):
            self._fill_list(node, depth)
        self._open.discard(event.anchor)
        return node

    def _scalar(self, event: events.ScalarEvent, place: Place) -> ScalarNode:
        quoted = event.style is not None
        value: Scalar = event.value
        if half := next((c for c in event.value if "\ud800" <= c <= "\udfff"), None):
            self._add(f"the escape of half a character (U+{ord(half):04X})", place)
        if not quoted:
            self._brackets.see(event, in_flow=self._events.flow_level > 0)
            try:
                value = read_scalar(event.value)
            except ScalarError as error:
                if not self._is_decimal_comma(event.value, place):
                    self._add(error.text, place, hint=error.hint)
        return ScalarNode(place, value, quoted, is_absent=not quoted and event.value == "")

    def _is_decimal_comma(self, decimals: str, place: Place) -> bool:
        """Return True, and report it, if an unquoted scalar is what follows the comma of a number such as `0,001`."""
        before = re.search(r"(?<![\w.])[-+]?\d+,$", place.source[: (place.column or 1) - 1])
        if before is None or not decimals.isdecimal():
            return False
        place = replace(place, column=before.start() + 1, length=len(before[0]) + len(decimals))
        text, number = f"a decimal comma in '{before[0]}{decimals}'", f"{before[0][:-1]}.{decimals}"
        self._add(text, place, hint=f"use a decimal point: {number}")
        return True

    def _define(self, anchor: str | None, node: Node) -> None:
        if anchor is None:
            return
        if anchor in self._anchors:
            first = self._anchors[anchor].place.line
            self._add(f"anchor '&{anchor}' is set twice; first at line {first}", node.place)
        self._anchors[anchor] = node
        self._open.add(anchor)

    def _alias(self, anchor: str, place: Place) -> Node:
        if (target := self._anchors.get(anchor)) is None:
            self._add(f"there is no anchor '&{anchor}' above", place, hint="quote text that starts with '*'")
        elif anchor in self._open:
            self._add(f"alias '*{anchor}' is inside the value that it refers to", place)
            target = None
        return AliasNode(place, target or MapNode(place))

    def _fill_list(self, node: ListNode, depth: int) -> None:
        for event in self._until(events.SequenceEndEvent):
            item = self._node(event, depth + 1)
            node.items.append(item)
            if isinstance(item, MapNode) and not node.flow and not item.flow:
                self._check_siblings(item)
        self._close(node)

    def _fill_mapping(self, node: MapNode, depth: int) -> None:
        for event in self._until(events.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(self._events.get_event(), depth + 1)
            is_absent = isinstance(value, ScalarNode) and value.is_absent
            if not isinstance(key, ScalarNode) or isinstance(key.value, (bool, float)) or key.value is None:
                hint = "write it without { }, or as name: value" if node.flow and is_absent else "quote it"
                self._add("a key must be text or an integer", key.place, hint=hint)
                continue
            if is_absent or (isinstance(value, (MapNode, ListNode)) and not value.flow):
                value.place = key.place
            if is_absent:
                self._check_absent(node, key)
            node.entries.append((key, value))
        if node.entries and not node.flow:
            node.place = node.entries[0][0].place
        self._close(node)

    def _until(self, end: type[events.Event]) -> Iterator[events.Event]:
        while not self._events.check_event(end):
            yield self._events.get_event()

    def _close(self, node: MapNode | ListNode) -> None:
        end = self._events.get_event().end_mark
        if not node.flow:
            return
        if node.place.line == end.line + 1 and node.place.column is not None:
            node.place = replace(node.place, length=end.column + 1 - node.place.column)
        if self._events.flow_level == 0:
            self._brackets.end()

    def _check_siblings(self, item: MapNode) -> None:
        """Report a list item `- dense:` whose arguments (`units: 3`) are not indented deeper than its name."""
        if len(item.entries) < 2:
            return
        (first, value), (second, _) = item.entries[:2]
        if isinstance(value, ScalarNode) and value.is_absent:
            text = f"'{second.value}' is on the same level as '{first.value}', not nested in it"
            hint = f"indent what belongs to '{first.value}' deeper than '{first.value}' itself"
            self._add(text, second.place, hint=hint)

    def _check_absent(self, node: MapNode, key: ScalarNode) -> None:
        """Report a config error for `{rate: 0,5}`, `{units:3}` and `{units = 3}`, which YAML reads as a key without a
        value."""
        if node.entries and isinstance(key.value, int) and isinstance(node.entries[-1][1], ScalarNode):
            self._is_decimal_comma(str(key.value), key.place)
        if not node.flow or key.quoted or not isinstance(key.value, str):
            return
        if ":" in key.value:
            self._add(f"a space is missing after ':' in '{key.value}'", key.place)
        elif match := ASSIGNMENT.fullmatch(key.value):
            text = f"'{match[2]}' in place of ':' in '{key.value}'"
            self._add(text, key.place, hint=f"write {match[1]}: {match[3]}")
