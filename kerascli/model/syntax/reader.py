"""What the readers of entries share: names, faults, what there is to call, and what stands beside settings."""

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kerascli.component import Invalid
from kerascli.errors import Fault, Path, show, used_here
from kerascli.expressions import Value
from kerascli.layers.base import CallArgument
from kerascli.model.ir.nodes import CallValue, Entry, Shared
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.schema import CellSection, ModelSection, NodeKeys, SharedSection, ViewSection
from kerascli.model.syntax.written import as_list

MAX_NODES = 10_000

References = Callable[[Any, Path, Mapping[str, Value], Callable[[Path], bool]], tuple[Any, list[Fault]]]
"""(value, its path, what `$` may mean beside flags and facts, which paths to leave) -> (value, faults)."""


@dataclass(frozen=True, slots=True)
class Block:
    """A template as it is written: parameters with their defaults, and layers that are read at each use."""

    parameters: Mapping[str, Any]
    inputs: tuple[str, ...]
    layers: list[Any]
    outputs: Any
    path: Path


class Budget:
    """Of nodes, in all of a model: repeats in repeats must not take the machine down."""

    def __init__(self) -> None:
        self.used = 0

    def check(self, nodes: int, path: Path, faults: Faults) -> None:
        """Whether so many more may come. Raises Exhausted, after a fault."""
        if self.used + nodes > MAX_NODES:
            faults.add(f"more than {MAX_NODES:,} layers, with all repeats written out", path, at="key")
            raise Exhausted

    def spend(self, nodes: int, path: Path, faults: Faults) -> None:
        """Count so many more. Raises Exhausted, after a fault."""
        self.check(nodes, path, faults)
        self.used += nodes


class Exhausted(Exception):
    """There is no point in reading on; the fault was told."""


@dataclass(slots=True)
class Reading:
    """The state of reading one list of layers: a model's, or a shared model's."""

    faults: Faults
    references: References
    budget: Budget = field(default_factory=Budget)
    prefix: str = ""
    """What the names of weights begin with: `tower/`."""
    names: Names = field(default_factory=Names)
    entries: list[Entry] = field(default_factory=list)
    inputs: tuple[str, ...] = ()
    shared: ChainMap[str, Shared | None] = field(default_factory=lambda: ChainMap({}))
    """What can be called; None: it cannot be read, which was told."""
    unread: tuple[str, ...] = ()
    """What is shared and not read yet: what is being read, and what stands below it."""
    open_shared: tuple[str, ...] = ()
    """What is being read."""
    blocks: dict[str, Block | None] = field(default_factory=dict)
    variables: dict[str, Value] = field(default_factory=dict)
    """Parameters of the block and variables of the loops that are being read."""
    open_blocks: tuple[str, ...] = ()

    def fault(self, text: str, place: Path, hint: str) -> Fault:
        """Of a node, whose path is complete."""
        return Fault(text, place, "key", hint=hint, related=used_here(self.faults.uses))

    def place(self, path: Path) -> Path:
        return (*self.faults.section, *path)

    def is_wanted(self, keys: NodeKeys, path: Path) -> bool:
        return not self.faults.is_flag(keys.when, (*path, "when")) or keys.when

    def name(self, keys: NodeKeys, path: Path, kind: str) -> str:
        """The name of a node as it is written, or Keras's for one without."""
        name, path = keys.name, (*path, "name")
        if isinstance(name, str):
            self.check_name(name, path, own=kind)
            return name
        if name is not None:
            self.faults.add(f"name: expected text, got {show(name)}", path)
        return self.names.automatic(kind)

    def check_name(
        self, name: Any, path: Path, *, own: str | None = None, at: Literal["key", "value"] = "value"
    ) -> None:
        if not isinstance(name, str):
            self.faults.add(f"expected a name, got {show(name)}", path, at=at)
        elif (problem := self.names.refuse(name, own=own)) is not None:
            self.faults.add(problem.text, path, at=at, related=problem.related)
        elif name != own and (name in self.shared or name in self.blocks):
            kind = "a shared thing" if name in self.shared else "a block"
            self.faults.add(f"'{name}' is the name of {kind}; choose another name", path, at=at)

    def previous(self, path: Path) -> tuple[str, ...]:
        """The node before, where it is clear which that is."""
        if self.names.previous is None:
            hint = f"add inputs: one of {', '.join(self.inputs)}"
            self.faults.add("which input? there is no single node before this one", path, at="key", hint=hint)
            return ()
        return (self.names.previous,)

    def tensors(self, written: Any, path: Path) -> tuple[str, ...]:
        """The tensors that one name, or a list of names, means here."""
        if not isinstance(written, list):
            found = [self.tensor(written, path)]
        else:
            found = [self.tensor(name, (*path, index)) for index, name in enumerate(written)]
        return tuple(name for name in found if name is not None)

    def tensor(self, name: Any, path: Path) -> str | None:
        """The tensor that a name means here, or None after a fault."""
        try:
            return self.names.find(name)
        except Invalid as invalid:
            self.faults.absorb(invalid, path)
            return None

    def call(self, known: Mapping[str, CallArgument], written: Mapping[str, Any], below: Path) -> dict[str, CallValue]:
        """The call arguments among what is written."""
        call: dict[str, CallValue] = {}
        for key, argument in known.items():
            if key not in written:
                continue
            value, path = written[key], (*below, key)
            if value is False and argument.or_false:
                call[key] = value
            elif argument.kind == "bool":
                if self.faults.is_flag(value, path):
                    call[key] = value
            elif argument.kind == "tensor":
                tensor = self.tensor(value, path)
                if tensor is not None:
                    call[key] = tensor
            else:
                call[key] = self.tensors(value, path)
        return call

    def results(self, name: str, count: int | None, keys: NodeKeys, path: Path) -> tuple[str, ...]:
        """A name for every result, as written; None: there are as many as there are names."""
        if not keys.has("outputs"):
            return (name, *("_" for _ in range((count or 1) - 1)))
        written, path = keys.outputs, (*path, "outputs")
        names = as_list(written)
        if count is not None and len(names) != count:
            results = "1 result" if count == 1 else f"{count} results"
            hint = "name every result; '_' drops one" if count > 1 else None
            self.faults.add(f"'{name}' has {results}, 'outputs' names {len(names)}", path, hint=hint)
        elif all(output == "_" for output in names):
            self.faults.add(f"every result of '{name}' is dropped", path)
        for index, output in enumerate(names):
            where = (*path, index) if isinstance(written, list) else path
            if not isinstance(output, str):
                self.faults.add(f"outputs: expected a name, got {show(output)}", where)
            elif output in names[:index] and output != "_":
                self.faults.add(f"outputs: '{output}' is named twice", where)
            elif output not in {"_", name}:
                self.check_name(output, where)
        return tuple(map(str, names))

    def pass_on(self, name: str, tensor: str, place: Path) -> None:
        """A node that `when` leaves out: its input goes by its name."""
        self.names.give(name, place, means=tensor)
        self.names.previous = tensor

    def spoil(self, name: str, keys: NodeKeys | None = None) -> None:
        """A node that could not be read, though its name could."""
        self.names.spoil([name, *map(str, as_list(keys.outputs if keys is not None else None))])
        self.names.previous = name


Body = ModelSection | SharedSection | ViewSection | CellSection
ReadBody = Callable[[Reading, Body, Path], tuple[str, ...]]
"""Reads the layers and the outputs of a model at a path; returns its outputs."""
