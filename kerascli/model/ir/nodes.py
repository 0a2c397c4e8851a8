"""Intermediate representation of a model as immutable dataclasses: inputs, nodes and calls in order, outputs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeVar

from kerascli.foundation.errors import Path
from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import BaseLayer

CallValue = str | bool | tuple[str, ...]
"""Type of a call argument's value: the name of a tensor, several names, or a bool."""


@dataclass(frozen=True, slots=True)
class Input:
    """Input tensor of a model: its name, and its spec (shape and dtype)."""

    name: str
    spec: TensorSpec
    path: Path = field(default=(), compare=False)
    """Path of the input in the config, for error messages."""


class Use(NamedTuple):
    """Use of a block of layers, or call of a shared layer or model, that contains a node."""

    path: Path
    """Config path of the use or call; it ends with the name of the block, shared layer or shared model."""
    of: Literal["block", "model", "layer"]
    """Kind of what is used or called: a block, a shared model or a shared layer."""
    start: int = 0
    """Number of nodes and calls of the model before this use of a block, to tell repeated uses apart; of a call: 0."""


@dataclass(frozen=True, slots=True)
class Node:
    """Layer in the graph of a model, with the names of its input and output tensors."""

    name: str
    layer: BaseLayer
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """Names of the output tensors; `_` for a tensor that is discarded."""
    call: Mapping[str, CallValue] = field(default_factory=dict)
    """Call arguments (`mask`, `training` ...) by name: bools, and names of tensors."""
    owner: str = ""
    """Prefix of the names of the node's weights (`tower/features`), the same for nodes that share weights; '': the
    node's own name."""
    path: Path = field(default=(), compare=False)
    """Config path of the node."""
    uses: tuple[Use, ...] = field(default=(), compare=False)
    """Uses of blocks and calls of shared layers and models that contain the node, outermost first."""

    @property
    def weights_name(self) -> str:
        return self.owner or self.name

    @property
    def unseen_masks(self) -> list[str]:
        """Names of the mask arguments that the node sets to `false`, so that its layer ignores these masks."""
        return [key for key in ("mask", "query_mask", "value_mask", "key_mask") if self.call.get(key) is False]

    @property
    def call_flags(self) -> dict[str, bool]:
        """Call arguments of the node that are booleans (such as `training`), by name."""
        return {key: value for key, value in self.call.items() if isinstance(value, bool)}

    @property
    def call_names(self) -> dict[str, tuple[str, ...]]:
        """Call arguments of the node that are tensors, by name, each as the names of one tensor or several."""
        tensors = {key: value for key, value in self.call.items() if not isinstance(value, bool)}
        return {key: (value,) if isinstance(value, str) else value for key, value in tensors.items()}

    def used_names(self) -> list[str]:
        """Return the names of all tensors that the node takes, as inputs or call arguments."""
        return [*self.inputs, *(name for names in self.call_names.values() for name in names)]

    def renamed(self, tensors: Mapping[str, str]) -> "Node":
        """Return a copy of the node with other tensor names; `tensors` maps old names to new ones."""
        call = {key: _renamed(value, tensors) for key, value in self.call.items()}
        inputs, outputs = _renamed(self.inputs, tensors), _renamed(self.outputs, tensors)
        return replace(self, inputs=inputs, outputs=outputs, call=call)

    def frozen(self) -> "Node":
        """Return a copy of the node with `trainable: false` on its layer."""
        return replace(self, layer=self.layer.model_copy(update={"trainable": False}))


V = TypeVar("V", bound=CallValue)


def _renamed(value: V, tensors: Mapping[str, str]) -> V:
    """Return the name or names of tensors, replaced as `tensors` says; a bool is returned as it is."""
    if isinstance(value, tuple):
        return tuple(tensors.get(name, name) for name in value)  # pyright: ignore[reportReturnType]
    return tensors.get(value, value) if isinstance(value, str) else value  # pyright: ignore[reportReturnType]


@dataclass(frozen=True, slots=True)
class Shared:
    """Shared layer or model of a config, which other layers call by its name, with the same weights in every call."""

    name: str
    weights: str
    """Prefix of the names of the weights of the shared layer or model."""
    inputs: Mapping[str, TensorSpec | None]
    """Inputs of a shared model by name, each with its spec (shape, dtype) if declared, else None; empty for a layer."""
    entries: tuple["Node | Call", ...] = ()
    """Nodes and calls of a shared model, in order; empty for a layer."""
    outputs: tuple[str, ...] = ()
    shared: tuple["Shared", ...] = ()
    """Shared layers and models that only the nodes of this shared model call."""
    layer: BaseLayer | None = None
    """Shared layer; None for a shared model."""
    trainable: bool = True
    """If False, no layer of the shared model is trained, whatever the layers' own settings."""
    tensors: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Mapping from names in the config of the shared model to the names of the tensors that they refer to."""
    path: Path = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """Call of a shared layer or model, expanded to nodes: the call `a` of a model `tower` has the node `a.features`."""

    name: str
    of: Shared
    """Shared layer or model that is called."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    call: Mapping[str, CallValue]
    nodes: tuple[Node, ...]
    path: Path = field(default=(), compare=False)

    def used_names(self) -> list[str]:
        """Return the names of the tensors that a call of a shared layer or model takes from outside of it."""
        inner = {output for node in self.nodes for output in node.outputs}
        return [*self.inputs, *(n for node in self.nodes for n in node.used_names() if n not in {*inner, *self.inputs})]

    def renamed(self, tensors: Mapping[str, str]) -> "Call":
        """Return a call of a shared layer or model with other tensor names; `tensors` maps old names to new ones."""
        inputs, outputs = _renamed(self.inputs, tensors), _renamed(self.outputs, tensors)
        return replace(self, inputs=inputs, outputs=outputs, nodes=tuple(node.renamed(tensors) for node in self.nodes))

    def frozen(self) -> "Call":
        """Return a copy of a call of a shared layer or model with `trainable: false` on its nodes' layers."""
        return replace(self, nodes=tuple(node.frozen() for node in self.nodes))


Entry = Node | Call


def flat(entries: Sequence[Entry]) -> tuple[Node, ...]:
    """Return the nodes of `entries`, which are nodes and calls of shared models, with calls replaced by nodes."""
    return tuple(node for entry in entries for node in (entry.nodes if isinstance(entry, Call) else (entry,)))


def names_used_by(entries: Iterable[Entry]) -> set[str]:
    """Return the names of the tensors that nodes, also in calls of shared models, take as inputs or call arguments."""
    return {name for entry in entries for node in flat([entry]) for name in node.used_names()}


@dataclass(frozen=True, slots=True)
class Model:
    """Model as a checked graph of nodes: every name in it is defined, and every node leads to an output."""

    inputs: tuple[Input, ...]
    entries: tuple[Entry, ...]
    """Nodes, and calls of shared layers and models, in order."""
    outputs: tuple[str, ...]
    shared: tuple[Shared, ...] = ()
    """Shared layers and models that the model's nodes can call."""
    views: Mapping[str, "View"] = field(default_factory=dict)
    """Mapping from name to view: a model that shares the weights of this model, such as an encoder alone."""
    alone: bool = False
    """If True, the model has no layers of its own: it consists of the shared model that its output names."""
    targets: tuple[Input, ...] = ()
    """Targets of the data that formulas refer to (`targets.y`); they are not available when the model predicts."""
    nodes: tuple[Node, ...] = field(init=False)
    """All nodes of the model in order; each call of a shared model is replaced by the nodes in the call."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", flat(self.entries))

    @property
    def places(self) -> dict[str, Path]:
        """Config path of each tensor, by its name: the path of the input, target or node that it belongs to."""
        places = {each.name: each.path for each in (*self.inputs, *self.targets)}
        return places | {output: node.path for node in self.nodes for output in node.outputs}

    @property
    def summed(self) -> frozenset[str]:
        """Names of the nodes whose logged values are summed over all samples; those of other nodes are averaged."""
        return frozenset(node.name for node in self.nodes if node.layer.sums)

    @property
    def is_sequential(self) -> bool:
        """True if there is one input and each node takes the output of the previous one, as in Keras's Sequential."""
        before = self.inputs[0].name if len(self.inputs) == 1 else ""
        for entry in self.entries:
            if entry.used_names() != [before] or len(entry.outputs) != 1:
                return False
            before = entry.outputs[0]
        return self.outputs == (before,)


@dataclass(frozen=True, slots=True)
class View:
    """View of a model: a submodel that shares the model's weights, such as an encoder alone."""

    model: Model
    """Complete graph of the view, which can run without the model whose weights it shares."""
    entries: tuple[Entry, ...]
    """Nodes and calls that belong to the view alone; all others in `model.entries` are in the model whose weights the
    view shares."""
    own_inputs: bool
    """If False, the view continues from inputs and nodes of the model whose weights it shares."""
