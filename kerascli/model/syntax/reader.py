"""State shared by the readers of a list `layers` (names, errors, shared models, blocks), and readers of a node's
keys."""

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kerascli.foundation.errors import Fault, Path, show, used_here
from kerascli.language.component import Invalid
from kerascli.language.expressions import Value
from kerascli.layers.base import CallArgument
from kerascli.model.ir.nodes import CallValue, Entry, Shared
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.schema import CellSection, ModelSection, NodeKeys, SharedSection, ViewSection
from kerascli.model.syntax.written import as_list

MAX_NODES = 10_000

References = Callable[[Any, Path, Mapping[str, Value], Callable[[Path], bool]], tuple[Any, list[Fault]]]
"""Type of a function that resolves `$` references in a config value: it returns the value and config errors.

Its arguments: value, its path, variables of `$` besides flags and facts, test for paths to leave as is.
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of `model.blocks` as written: parameters with defaults, and layers, which are read anew for each use."""

    parameters: Mapping[str, Any]
    inputs: tuple[str, ...]
    layers: list[Any]
    outputs: Any
    path: Path


class Budget:
    """Limit of the number of nodes in a model, so that nested repeats cannot exhaust memory."""

    def __init__(self) -> None:
        self.used = 0

    def check(self, nodes: int, path: Path, faults: Faults) -> None:
        """Report a config error and raise TooManyNodes if `nodes` further nodes exceed the limit."""
        if self.used + nodes > MAX_NODES:
            faults.add(f"more than {MAX_NODES:,} layers after expanding all repeats", path, at="key")
            raise TooManyNodes

    def spend(self, nodes: int, path: Path, faults: Faults) -> None:
        """Count `nodes` further nodes. Raises TooManyNodes, after reporting an error, if they exceed the limit."""
        self.check(nodes, path, faults)
        self.used += nodes


class TooManyNodes(Exception):
    """Exception that stops the reading of a model with too many nodes; the error has been reported."""


@dataclass(slots=True)
class Reading:
    """State of reading one list `layers`: of a model, a shared model, a view (a model that shares another's layers) or
    a custom cell."""

    faults: Faults
    references: References
    budget: Budget = field(default_factory=Budget)
    prefix: str = ""
    """Prefix of the names of the weights in the layers being read, such as `tower/`."""
    names: Names = field(default_factory=Names)
    entries: list[Entry] = field(default_factory=list)
    inputs: tuple[str, ...] = ()
    shared: ChainMap[str, Shared | None] = field(default_factory=lambda: ChainMap({}))
    """Shared layers and models that may be called, by name; None for one that could not be read, whose error has been
    reported."""
    unread: tuple[str, ...] = ()
    """Names of shared layers and models that cannot be called yet: the one that is being read, and those defined after
    it."""
    open_shared: tuple[str, ...] = ()
    """Names of the nested shared models that are being read."""
    blocks: dict[str, Block | None] = field(default_factory=dict)
    variables: dict[str, Value] = field(default_factory=dict)
    """Mapping from name to value: parameters of the block (template of layers) and variables of the loops that are
    being read."""
    open_blocks: tuple[str, ...] = ()

    def fault(self, text: str, place: Path, hint: str) -> Fault:
        """Return a config error for the node at the config path `place`; it notes where the block (template of layers)
        being read is used."""
        return Fault(text, place, "key", hint=hint, related=used_here(self.faults.uses))

    def place(self, path: Path) -> Path:
        return (*self.faults.section, *path)

    def is_wanted(self, keys: NodeKeys, path: Path) -> bool:
        return not self.faults.is_flag(keys.when, (*path, "when")) or keys.when

    def name(self, keys: NodeKeys, path: Path, kind: str) -> str:
        """Return the name that the config gives to a node, or an automatic name, numbered as in Keras."""
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
            kind = "a shared layer or model" if name in self.shared else "a block"
            self.faults.add(f"'{name}' is the name of {kind}; choose another name", path, at=at)

    def previous(self, path: Path) -> tuple[str, ...]:
        """Return (name,) of the previous node's only output tensor; if it has not exactly one, report a config error
        and return ()."""
        if self.names.previous is None:
            hint = f"add inputs: one of {', '.join(self.inputs)}"
            self.faults.add("needs 'inputs': there is no single node before this one", path, at="key", hint=hint)
            return ()
        return (self.names.previous,)

    def tensors(self, written: Any, path: Path) -> tuple[str, ...]:
        """Return the names of the tensors that `written`, a name or a list of names, refers to; unknown names are
        reported and left out."""
        if not isinstance(written, list):
            found = [self.tensor(written, path)]
        else:
            found = [self.tensor(name, (*path, index)) for index, name in enumerate(written)]
        return tuple(name for name in found if name is not None)

    def tensor(self, name: Any, path: Path) -> str | None:
        """Return the tensor that `name` refers to in the node being read, given the nodes above it; None after
        reporting a config error."""
        try:
            return self.names.find(name)
        except Invalid as invalid:
            self.faults.absorb(invalid, path)
            return None

    def call(self, known: Mapping[str, CallArgument], written: Mapping[str, Any], below: Path) -> dict[str, CallValue]:
        """Return a node's call arguments by name, with names of nodes replaced by tensors; `known` are the arguments
        that its layer takes."""
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
        """Return the names that a node's key `outputs` gives to its output tensors; `count` is the number of tensors,
        None if unknown."""
        if not keys.has("outputs"):
            return (name, *("_" for _ in range((count or 1) - 1)))
        written, path = keys.outputs, (*path, "outputs")
        names = as_list(written)
        if count is not None and len(names) != count:
            results = "1 output tensor" if count == 1 else f"{count} output tensors"
            hint = "name each of them; '_' discards one" if count > 1 else None
            self.faults.add(f"'{name}' has {results}, but 'outputs' names {len(names)}", path, hint=hint)
        elif all(output == "_" for output in names):
            self.faults.add(f"'outputs' discards every output tensor of '{name}'", path)
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
        """Define the name of a node that its key `when` leaves out: it refers to the node's input tensor."""
        self.names.give(name, place, means=tensor)
        self.names.previous = tensor

    def mark_broken(self, name: str, keys: NodeKeys | None = None) -> None:
        """Mark the names of a node that could not be read, so that no further errors are reported for nodes
        that use it."""
        self.names.mark_broken([name, *map(str, as_list(keys.outputs if keys is not None else None))])
        self.names.previous = name


Body = ModelSection | SharedSection | ViewSection | CellSection
ReadBody = Callable[[Reading, Body, Path], tuple[str, ...]]
"""Type of a function that reads the layers and outputs of a model at a config path; it returns the names of the
outputs."""
