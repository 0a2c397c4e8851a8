"""What a model is before it is torch: inputs, nodes in order, outputs. Plain frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kerascli.errors import Path
from kerascli.layers.base import BaseLayer
from kerascli.shapes import TensorSpec

CallValue = str | bool | tuple[str, ...]
"""A call argument: a tensor by name, several, or a switch."""

RESERVED = frozenset({"prev", "input", "y_true", "y_pred", "sample_weight", "training", "batch_size", "_"})


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
    path: Path = field(default=(), compare=False)

    def used_names(self) -> list[str]:
        """Every tensor that a call of this node needs."""
        names = list(self.inputs)
        for value in self.call.values():
            if isinstance(value, str):
                names.append(value)
            elif isinstance(value, tuple):
                names += value
        return names


@dataclass(frozen=True, slots=True)
class Model:
    """A checked graph: every name is known, every node leads to an output."""

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    @property
    def figures(self) -> tuple[str, ...]:
        """The nodes that have no result, but a figure to log."""
        return tuple(node.name for node in self.nodes if not node.outputs)

    @property
    def is_sequential(self) -> bool:
        """One input, and each node is called on the one before it: Keras would call it Sequential."""
        before = self.inputs[0].name if len(self.inputs) == 1 else ""
        for node in self.nodes:
            if node.used_names() != [before] or len(node.outputs) != 1:
                return False
            before = node.outputs[0]
        return self.outputs == (before,)
