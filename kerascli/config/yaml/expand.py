"""Conversion of YAML nodes to plain data and positions; expands aliases and merge keys (<<) up to a limit."""

from contextlib import suppress
from typing import Any

from kerascli.config.yaml.document import Document, Mark
from kerascli.config.yaml.nodes import MAX_DEPTH, MAX_NODES, NodeReader
from kerascli.config.yaml.source import Source
from kerascli.config.yaml.tree import AliasNode, ListNode, MapNode, Node, ScalarNode
from kerascli.foundation.errors import Fault, Path, Place

_Entries = list[tuple[ScalarNode, Node]]


class _Refused(Exception):
    """Exception that ends the expansion of a YAML document beyond a size or depth limit; the config error is recorded
    before."""


def parse_text(text: str, source: Source) -> tuple[Any, dict[Path, Mark], bool]:
    """Parse YAML text; return (plain data, position of each value, True if it is empty). Raises ConfigError."""
    reader = NodeReader(text, source)
    root = reader.read()
    expander = _Expander()
    data = None
    with suppress(_Refused):
        data = root and expander.value(root, (), None)
    faults = reader.faults
    if not reader.splits_expression:  # else duplicate keys follow from the split
        faults = faults + expander.faults
    if faults:
        raise Document({}, {}, source.name).error(faults)
    return data, expander.marks, root is None or (isinstance(root, ScalarNode) and root.is_absent)


class _Expander:
    """Converter of a document's YAML nodes to plain data; every value is a separate object, even if the text repeats it
    by an alias."""

    def __init__(self) -> None:
        self.marks: dict[Path, Mark] = {}
        self.faults: list[Fault] = []
        self._count = 0
        self._merged: dict[int, _Entries] = {}

    def value(self, node: Node, path: Path, key: Place | None) -> Any:
        """Return the plain data of a node at a config path, and record its position, and that of its key."""
        self._count += 1
        if self._count > MAX_NODES:
            self._refuse(f"more than {MAX_NODES:,} values, with all aliases written out", node.place)
        if len(path) > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels", node.place)
        self.marks[path] = Mark(key, node.place)
        while isinstance(node, AliasNode):
            node = node.target
        if isinstance(node, ScalarNode):
            return node.value
        if isinstance(node, ListNode):
            return [self.value(item, (*path, index), None) for index, item in enumerate(node.items)]
        return {name.value: self.value(value, (*path, _key(name)), name.place) for name, value in self._entries(node)}

    def _entries(self, node: MapNode) -> _Entries:
        """Return the (key, value) nodes of a YAML mapping by key: those that `<<` merges, then the mapping's own, which
        override them."""
        if (cached := self._merged.get(id(node))) is not None:
            return cached
        own: dict[str | int, tuple[ScalarNode, Node]] = {}
        merged: dict[str | int, tuple[ScalarNode, Node]] = {}
        for key, value in node.entries:
            name = _key(key)
            if name in own:
                first = own[name][0].place
                where = f"{first.line}" if first.line != key.place.line else f"{first.line}, column {first.column}"
                self.faults.append(Fault(f"duplicate key '{key.value}'; first set at line {where}", place=key.place))
                continue
            own[name] = (key, value)
            if _is_merge(key):
                for other in reversed(self._sources(value)):  # the first of several wins
                    merged.update({_key(k): (k, v) for k, v in self._entries(other)})
        entries = {**merged, **{name: entry for name, entry in own.items() if not _is_merge(entry[0])}}
        self._merged[id(node)] = list(entries.values())
        return self._merged[id(node)]

    def _sources(self, node: Node) -> list[MapNode]:
        """Return the mapping nodes that a merge key (`<<`) refers to; report a config error if it refers to anything
        else."""
        place = node.place
        while isinstance(node, AliasNode):
            node = node.target
        if isinstance(node, MapNode):
            return [node]
        if isinstance(node, ListNode) and not any(isinstance(item, ListNode) for item in node.items):
            return [source for item in node.items for source in self._sources(item)]
        self.faults.append(Fault("'<<' merges a mapping or a list of mappings, by alias: '<<: *name'", place=place))
        return []

    def _refuse(self, text: str, place: Place) -> None:
        self.faults.append(Fault(text, place=place))
        raise _Refused


def _is_merge(key: ScalarNode) -> bool:
    return key.value == "<<" and not key.quoted


def _key(node: ScalarNode) -> str | int:
    assert isinstance(node.value, (str, int))  # the reader refuses all other keys
    return node.value
