"""What a model is before it is torch: inputs, entries in order, outputs. Plain frozen data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kerascli.errors import Path
from kerascli.layers.base import BaseLayer
from kerascli.shapes import TensorSpec

CallValue = str | bool | tuple[str, ...]
"""A call argument: a tensor by name, several, or a switch."""

RESERVED = frozenset({
    "prev", "input", "y_true", "y_pred", "sample_weight", "training", "batch_size", "_",
    "if", "else", "and", "or", "not", "true", "True", "false", "False", "none", "None", "null",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor that the model is given."""

    name: str
    spec: TensorSpec
    path: Path = field(default=(), compare=False)
    """Where it is written: for messages."""


@dataclass(frozen=True, slots=True)
class Node:
    """A layer where it stands: settings, what it is called on, what its results are called."""

    name: str
    layer: BaseLayer
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """A name for each result; None of them is `_`, which stands for a dropped one."""
    call: Mapping[str, CallValue] = field(default_factory=dict)
    owner: str = ""
    """What its weights are named by (`tower/features`), if other nodes have the same; else its own name."""
    path: Path = field(default=(), compare=False)
    uses: tuple[Path, ...] = field(default=(), compare=False)
    """Where the blocks and shared models that it is written in are used, from the outermost."""

    @property
    def weights_name(self) -> str:
        return self.owner or self.name

    @property
    def unseen_masks(self) -> list[str]:
        """The mask arguments that are `false`: the layer computes without them."""
        return [key for key in ("mask", "query_mask", "value_mask", "key_mask") if self.call.get(key) is False]

    def used_names(self) -> list[str]:
        """Every tensor that a call of this node needs."""
        names = list(self.inputs)
        for value in self.call.values():
            if isinstance(value, str):
                names.append(value)
            elif isinstance(value, tuple):
                names += value
        return names

    def renamed(self, tensors: Mapping[str, str]) -> "Node":
        """The same, of other tensors; those that `tensors` does not have keep their names."""

        def of(names: Sequence[str]) -> tuple[str, ...]:
            return tuple(tensors.get(name, name) for name in names)

        call = {
            key: value
            if isinstance(value, bool)
            else tensors.get(value, value)
            if isinstance(value, str)
            else of(value)
            for key, value in self.call.items()
        }
        return replace(self, inputs=of(self.inputs), outputs=of(self.outputs), call=call)

    def frozen(self) -> "Node":
        """The same, not trained."""
        return replace(self, layer=self.layer.model_copy(update={"trainable": False}))


@dataclass(frozen=True, slots=True)
class Shared:
    """A layer, or a whole model, that is called by name; its weights are the same in every call."""

    name: str
    weights: str
    """What the names of its weights begin with."""
    inputs: Mapping[str, TensorSpec | None]
    """What a model is called on, with the shapes that it wants where it says so; of a layer nothing is said."""
    entries: tuple["Node | Call", ...] = ()
    outputs: tuple[str, ...] = ()
    shared: tuple["Shared", ...] = ()
    layer: BaseLayer | None = None
    trainable: bool = True
    """False: none of its layers is, whatever they say."""
    tensors: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What its inner names mean."""
    path: Path = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of what is shared, and the nodes that it stands for: `a` of `tower` has `a.features`."""

    name: str
    of: Shared
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    call: Mapping[str, CallValue]
    nodes: tuple[Node, ...]
    path: Path = field(default=(), compare=False)

    def used_names(self) -> list[str]:
        """Every tensor that it needs."""
        inner = {output for node in self.nodes for output in node.outputs}
        return [*self.inputs, *(n for node in self.nodes for n in node.used_names() if n not in {*inner, *self.inputs})]

    def frozen(self) -> "Call":
        """The same, its nodes not trained."""
        return replace(self, nodes=tuple(node.frozen() for node in self.nodes))


Entry = Node | Call


def flat(entries: Sequence[Entry]) -> tuple[Node, ...]:
    """The nodes that entries stand for, in order."""
    return tuple(node for entry in entries for node in (entry.nodes if isinstance(entry, Call) else (entry,)))


@dataclass(frozen=True, slots=True)
class Model:
    """A checked graph: every name is known, every node leads to an output."""

    inputs: tuple[Input, ...]
    entries: tuple[Entry, ...]
    outputs: tuple[str, ...]
    shared: tuple[Shared, ...] = ()
    views: Mapping[str, "View"] = field(default_factory=dict)
    """Other models over its weights."""
    alone: bool = False
    """It has no layers of its own: its output is what it shares under that name."""
    targets: tuple[Input, ...] = ()
    """Those that formulas name (`targets.y`): there are none when the model predicts."""
    nodes: tuple[Node, ...] = field(init=False)
    """Every layer that runs, those inside of calls too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", flat(self.entries))

    @property
    def figures(self) -> tuple[str, ...]:
        """The nodes that have no result, but a figure to log."""
        return tuple(node.name for node in self.nodes if node.layer.logs)

    @property
    def sums(self) -> frozenset[str]:
        """Return the names of the figures that are summed over all samples; the others are averaged."""
        return frozenset(node.name for node in self.nodes if node.layer.sums)

    @property
    def is_sequential(self) -> bool:
        """One input, and each entry is called on the one before it: Keras would call it Sequential."""
        before = self.inputs[0].name if len(self.inputs) == 1 else ""
        for entry in self.entries:
            if entry.used_names() != [before] or len(entry.outputs) != 1:
                return False
            before = entry.outputs[0]
        return self.outputs == (before,)


@dataclass(frozen=True, slots=True)
class View:
    """A model over the weights of another."""

    model: Model
    """Whole: it runs without the other."""
    entries: tuple[Entry, ...]
    """Those of its own; what it has more is the other's."""
    own_inputs: bool
    """False: it goes on from the inputs and the nodes of the other."""
