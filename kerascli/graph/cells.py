"""A described cell: a small model of one step, and the layer that takes it along the steps of sequences."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from pydantic import InstanceOf
from torch import Tensor, nn

from kerascli.errors import Path
from kerascli.graph.model import Entry, Node, flat
from kerascli.layers.base import MergeLayer
from kerascli.parts.base import Initializer
from kerascli.parts.initializers import Zeros
from kerascli.shapes import TensorSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CellState:
    """A tensor that goes from step to step, and what it is before the first one: the same for every sample."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer = field(default_factory=Zeros)
    trainable: bool = False
    path: Path = field(default=(), compare=False)

    @property
    def is_weight(self) -> bool:
        """Whether what it starts from is kept with the model's weights; zeros need not be."""
        return self.trainable or not isinstance(self.initializer, Zeros)


@dataclass(frozen=True, slots=True)
class Cell:
    """One step: from frames, states and constants to outputs and new states; names are the cell's own."""

    inputs: tuple[str, ...]
    states: tuple[CellState, ...]
    constants: tuple[str, ...]
    entries: tuple[Entry, ...]
    next: tuple[str, ...]
    """The new value of each state."""
    outputs: tuple[str, ...]
    path: Path = field(default=(), compare=False)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return flat(self.entries)


class DescribedRNN(MergeLayer):
    """`rnn` with a described cell. Its node is called on the sequences, the constants and the states to start from."""

    component_name = "rnn"
    takes_integers = True
    uses_masks = True
    loops = True

    cell: InstanceOf[Cell]
    given: tuple[str, ...] = ()
    """The states that the node's `initial_state` names, in the order of its last inputs."""
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False

    @property
    def mask(self) -> Literal["pass", "stop"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "pass" if self.return_sequences else "stop"

    def result_count(self) -> int:
        return len(self.cell.outputs) + (len(self.cell.states) if self.return_state else 0)

    def masked_results(self) -> int:
        return len(self.cell.outputs)

    def keeps_states(self) -> bool:
        return self.stateful

    def adds_losses(self) -> bool:
        return any(node.layer.adds_losses() for node in self.cell.nodes)

    def merge_masks(self, masks: Sequence[Tensor | None], xs: Sequence[Tensor]) -> Tensor | None:
        """As in Keras the first sequence says which steps count."""
        return masks[0]

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        raise AssertionError("the graph builds it: its nodes may have weights of other nodes")

    def parted(self, values: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
        """The node's inputs by what they are: sequences, constants, states to start from."""
        first, second = len(self.cell.inputs), len(self.cell.inputs) + len(self.cell.constants)
        return values[:first], values[first:second], values[second:]
