"""State that the readers of a list `layers` share (names, shared models, blocks), and readers of node keys."""

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kerascli.foundation.errors import At, Fault, Path, counted, in_yaml, show
from kerascli.language.expressions import Value
from kerascli.language.expressions.numbers import Values
from kerascli.language.section import Written
from kerascli.layers.base import CallArgument
from kerascli.model.ir.analysis import uncalled_faults
from kerascli.model.ir.nodes import CallValue, Entry, Shared
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.names import Names
from kerascli.model.syntax.schema import CellSection, ModelSection, NodeKeys, SharedSection, ViewSection

MODEL: Path = ("model",)
MAX_NODES = 10_000

References = Callable[[Any, Path, Values, Callable[[Path], bool]], tuple[Any, list[Fault]]]
"""Type of a function that resolves `$` references in a config value: it returns the value and config errors.

Its arguments: value, its path, variables of `$` besides flags and facts, test for paths to leave as is.
"""
Body = ModelSection | SharedSection | ViewSection | CellSection


def is_list(layers: Any, whose: str, path: Path, faults: Faults) -> bool:
    """Return True if `layers` is a list of 1 to MAX_NODES items; otherwise report a config error.

    `whose` names the section in the error.
    """
    if not isinstance(layers, list):
        first = next(iter(layers.items()), None) if isinstance(layers, dict) else None
        line = "" if first is None else in_yaml(dict([first]))[1:-1].removeprefix("-")
        hint = None if first is None else f"put '- ' before each layer: - {line}"
        faults.add(f"{whose}.layers: expected a list of layers, got {show(layers)}", path, hint=hint)
    elif not layers:
        faults.add(f"{whose}.layers is empty: expected one layer or more", path)
    elif len(layers) > MAX_NODES:
        faults.add(f"{whose}.layers: expected at most {MAX_NODES} layers, got {len(layers)}", path)
    else:
        return True
    return False


def as_list(value: Any) -> list[Any]:
    """Return a config value that is a name, a list of names or None, as a list of names."""
    return [] if value is None else value if isinstance(value, list) else [value]


def each_at(value: Any, path: Path) -> Iterator[tuple[Any, Path]]:
    """Yield (name, config path) of each name in a config value that is a name or a list of names."""
    yield from ((item, (*path, i)) for i, item in enumerate(value)) if isinstance(value, list) else [(value, path)]


@dataclass(frozen=True, slots=True)
class Block:
    """Block of `model.blocks` (a template of layers): parameters with defaults, and layers as in the config."""

    parameters: Mapping[str, Any]
    """Mapping from parameter name to default; None if every use must give a value."""
    inputs: tuple[str, ...]
    layers: list[Any]
    outputs: Any
    """Value of the key `outputs` as in the config: names of nodes, or None for the last one."""
    path: Path
    """Config path of the block."""


class TooManyNodes(Exception):
    """Exception that ends the reading of a model with too many nodes, after the error has been reported."""


@dataclass(slots=True)
class Budget:
    """Counter of the nodes of a model, with a limit, so that nested `repeat` items cannot exhaust memory."""

    used: int = 0

    def check(self, nodes: int, path: Path, faults: Faults) -> None:
        """Report a config error and raise TooManyNodes if `nodes` further nodes exceed the limit."""
        if self.used + nodes > MAX_NODES:
            faults.add(f"more than {MAX_NODES:,} layers after expanding all repeats", path, "key")
            raise TooManyNodes

    def spend(self, nodes: int, path: Path, faults: Faults) -> None:
        """Count `nodes` further nodes. Raises TooManyNodes, after reporting an error, if they exceed the limit."""
        self.check(nodes, path, faults)
        self.used += nodes


@dataclass(slots=True)
class Reading:
    """State of the parser of a list `layers`: that of a model, a shared model, a view (submodel) or a custom cell."""

    faults: Faults
    references: References
    """Function that replaces the `$` references in a config value by their values."""
    entry_reader: Callable[["Reading", list[Any], Path], None]
    """Function behind `read_entries`. It calls the readers of blocks, repeats, cells and shared models, and these read
    lists of layers in turn."""
    budget: Budget = field(default_factory=Budget)
    prefix: str = ""
    """Prefix of the names of the weights in the layers being read, such as `tower/`."""
    names: Names = field(default_factory=Names)
    """Names of nodes and tensors defined so far."""
    entries: list[Entry] = field(default_factory=list)
    """Nodes and calls read so far."""
    inputs: tuple[str, ...] = ()
    """Names of the inputs of the model being read."""
    shared: ChainMap[str, Shared | None] = field(default_factory=lambda: ChainMap({}))
    """Shared layers and models that may be called, by name; None for one that could not be read, whose error has been
    reported."""
    unread: tuple[str, ...] = ()
    """Names of shared layers and models that cannot be called yet: the one that is being read, and those defined after
    it."""
    open_shared: tuple[str, ...] = ()
    """Names of the nested shared models that are being read."""
    blocks: dict[str, Block | None] = field(default_factory=dict)
    """Blocks by name; None for one that could not be read, whose error has been reported."""
    variables: dict[str, Value] = field(default_factory=dict)
    """Mapping from name to value: parameters of the block (template of layers) and variables of the loops that are
    being read."""
    open_blocks: tuple[str, ...] = ()
    """Names of the nested blocks whose uses are being read."""

    def inner(self, **changes: Any) -> "Reading":
        """Return a new state to parse a model within the model being read, such as the cell of an `rnn`.

        `changes` are fields with other values than in the present state; the new state has no nodes yet.
        """
        return replace(self, entries=[], shared=self.shared.new_child(), **changes)

    def read_entries(self, layers: list[Any], path: Path) -> None:
        """Add the items of a list `layers` (layers, uses of blocks, calls of shared models) to the model being read."""
        self.entry_reader(self, layers, path)

    def read_body(self, written: Body, base: Path, *, may_be_uncalled: bool = False) -> tuple[str, ...]:
        """Read the `layers` and `outputs` of a model, and return the names of its outputs.

        `written` is the config section of the model, `base` its config path. The model's inputs and shared layers must
        have been read before; with `may_be_uncalled` its layers need not call the latter.
        """
        whose = str(base[-1])
        if written.has("layers") and not is_list(written.layers, whose, (*base, "layers"), self.faults):
            return ()
        self.read_entries(written.layers or [], (*base, "layers"))
        outputs = self._outputs(written.outputs, whose, (*base, "outputs"))
        if not self.faults.count and not may_be_uncalled:
            self.faults.take(uncalled_faults(self.shared.maps[0], self.entries))
        return outputs

    def _outputs(self, written: Any, whose: str, path: Path) -> tuple[str, ...]:
        outputs = self.names.previous_tensor() if written is None else self.tensors(written, path)
        if written == []:
            self.faults.add(f"{whose}.outputs is empty: expected one node or more", path)
        if len(set(outputs)) < len(outputs):
            self.faults.add(f"{whose}.outputs names a node twice", path)
        return outputs

    def items(self, section: Any, what: str, path: Path) -> Written:
        """Return a config section that must be a mapping; {} if it is missing, or after reporting a config error.

        `what` is the beginning of the error message.
        """
        if section is not None and not isinstance(section, dict):
            self.faults.add(f"{what}, got {show(section)}", path)
        return section if isinstance(section, dict) else {}

    def resolved(
        self, written: Any, path: Path, variables: Values, waits: Callable[[Path], bool] = lambda path: False
    ) -> Any:
        """Return a config value with its `$` references replaced by values; errors are reported.

        `variables` maps names that references may use, besides flags and facts of the data, to values. References at
        paths for which `waits` returns True are left unchanged.
        """
        value, faults = self.references(written, path, variables, waits)
        self.faults.take(faults)
        return value

    def is_present(self, keys: NodeKeys, path: Path) -> bool:
        return not self.faults.is_flag(keys.when, (*path, "when")) or keys.when

    def name(self, keys: NodeKeys, path: Path, kind: str) -> str:
        """Return the name that the config gives to a node, else its layer's name `kind`, numbered as in Keras."""
        if isinstance(keys.name, str):
            self.check_name(keys.name, (*path, "name"), own=kind)
            return keys.name
        if keys.name is not None:
            self.faults.add(f"name: expected text, got {show(keys.name)}", (*path, "name"))
        return self.names.automatic(kind)

    def check_name(self, name: Any, path: Path, at: At = "value", *, own: str | None = None) -> None:
        if not isinstance(name, str):
            self.faults.add(f"expected a name, got {show(name)}", path, at)
        elif (problem := self.names.refuse(name, own=own)) is not None:
            self.faults.add(problem.text, path, at, related=problem.related)
        elif name != own and (name in self.shared or name in self.blocks):
            kind = "a shared layer or model" if name in self.shared else "a block"
            self.faults.add(f"'{name}' is the name of {kind}; choose another name", path, at)

    def is_name_of_part(self, name: Any, path: Path) -> bool:
        """Return True if a block, shared layer or shared model can be called `name`; else report a config error."""
        before = self.faults.count
        self.check_name(name, path, "key")
        if name == "repeat":
            self.faults.add("'repeat' is a keyword; choose another name", path, "key")
        return self.faults.count == before

    def previous(self, path: Path) -> tuple[str, ...]:
        """Return (name,) of the previous node's only output tensor; report a config error if it has not exactly one.

        After the config error, () is returned.
        """
        if not (previous := self.names.previous_tensor()):
            hint = f"add inputs: one of {', '.join(self.inputs)}" if self.inputs else "add inputs: the name of a node"
            self.faults.add("needs 'inputs': there is no single node before this one", path, "key", hint=hint)
        return previous

    def layer_inputs(self, what: str, keys: NodeKeys, path: Path, below: Path, *, merges: bool) -> tuple[str, ...]:
        """Return the names of the tensors that a layer takes as inputs: one or, if it `merges`, two or more.

        `below` is the config path of the inputs, `what` names the layer in errors.
        """
        if not keys.has("inputs"):
            if not merges:
                return self.previous(path)
            hint = f"{path[-1]}: [a, b] with the names of nodes above"
            self.faults.add(f"{what} needs 'inputs', two or more", path, "key", hint=hint)
            return ()
        names = as_list(keys.inputs)
        if merges and len(names) < 2:
            self.faults.add(f"{what} needs two or more inputs, got {len(names)}", below)
        elif not merges and len(names) != 1:
            hint = "join them first: concatenate, add ..." if names else None
            self.faults.add(f"{what} takes one input, got {len(names)}", below, hint=hint)
        return self.tensors(keys.inputs, below) if names else ()

    def model_inputs(
        self, what: str, names: Sequence[str], keys: NodeKeys, path: Path, below: Path, *, use: str
    ) -> tuple[str, ...]:
        """Return the names of the tensors passed to a call of a shared model, or to a use of a block.

        `names` are the names of the shared model's or block's inputs. `what` and `use` are the shared model or block,
        and the call or use, in error messages; `below` is the config path of the inputs.
        """
        written, several = keys.inputs, f" ({', '.join(names)})" if len(names) > 1 else ""
        if not keys.has("inputs"):
            if not several:
                return self.previous(path)
            self.faults.add(f"{use} needs 'inputs': {', '.join(names)}", path, "key")
            return ()
        if (count := len(as_list(written))) != len(names):
            self.faults.add(f"{what} takes {counted(len(names), 'input')}{several}, got {count}", below)
        return self.tensors(written, below) if count else ()

    def tensors(self, written: Any, path: Path) -> tuple[str, ...]:
        """Return the names of the tensors that a config value refers to: a node's name, or a list of names.

        Unknown names are reported and left out.
        """
        tensors = (self.tensor(name, where) for name, where in each_at(written, path))
        return tuple(tensor for tensor in tensors if tensor is not None)

    def tensor(self, name: Any, path: Path) -> str | None:
        """Return the name of the tensor that `name` refers to at `path` in the config; None after a config error."""
        with self.faults.absorbing(path):
            return self.names.find(name)

    def call(
        self, allowed: Mapping[str, CallArgument], written: Mapping[str, Any], below: Path
    ) -> dict[str, CallValue]:
        """Return a node's call arguments (`mask`, `training` ...) by name, with names of nodes replaced by tensors.

        `allowed` are the call arguments of its layer, `written` those in the config.
        """
        call: dict[str, CallValue] = {}
        for key in (key for key in allowed if key in written):
            argument, value, path = allowed[key], written[key], (*below, key)
            if value is False and argument.or_false:
                call[key] = value
            elif argument.kind == "bool":
                if self.faults.is_flag(value, path):
                    call[key] = value
            elif argument.kind == "tensors":
                call[key] = self.tensors(value, path)
            elif (tensor := self.tensor(value, path)) is not None:
                call[key] = tensor
        return call

    def results(self, name: str, count: int | None, keys: NodeKeys, path: Path) -> tuple[str, ...]:
        """Return the names of a node's output tensors, as its key `outputs` says.

        `count` is the number of output tensors, None if unknown.
        """
        if not keys.has("outputs"):
            return (name, *("_" for _ in range((count or 1) - 1)))
        written, path = keys.outputs, (*path, "outputs")
        names = as_list(written)
        if count is not None and len(names) != count:
            hint = "name each of them; '_' discards one" if count > 1 else None
            text = f"'{name}' has {counted(count, 'output tensor')}, but 'outputs' names {len(names)}"
            self.faults.add(text, path, hint=hint)
        elif all(output == "_" for output in names):
            self.faults.add(f"'outputs' discards every output tensor of '{name}'", path)
        for index, (output, where) in enumerate(each_at(written, path) if names else ()):
            if not isinstance(output, str):
                self.faults.add(f"outputs: expected a name, got {show(output)}", where)
            elif output in names[:index] and output != "_":
                self.faults.add(f"outputs: '{output}' is named twice", where)
            elif output not in {"_", name}:
                self.check_name(output, where)
        return tuple(map(str, names))

    def pass_on(self, name: str, tensor: str, place: Path) -> None:
        """Define the name of a node that its key `when` excludes: it refers to `tensor`, which is the node's input."""
        self.names.give(name, place, means=tensor)
        self.names.previous = tensor

    def give_results(self, written: Sequence[str], tensors: Sequence[str], place: Path) -> None:
        """Define the names of a node's output tensors; the first one becomes `prev` for the next node.

        `written` are the names in the config ('_': no name), `tensors` those in the model, `place` is the config path.
        """
        kept = [(name, tensor) for name, tensor in zip(written, tensors, strict=True) if name != "_"]
        for name, tensor in kept:
            self.names.give(name, place, means=tensor)
        self.names.previous = kept[0][1] if kept else None

    def mark_broken(self, name: str = "?", keys: NodeKeys | None = None) -> None:
        """Mark the names of a node that could not be read, so that its uses cause no further errors.

        `name` is the node's name, which `prev` then means, too ('?': unknown). `keys` are the keys of the node in the
        config, whose value of `outputs` names its output tensors (None: only `name` is marked).
        """
        self.names.mark_broken([name, *map(str, as_list(keys and keys.outputs))])
        self.names.previous = name
