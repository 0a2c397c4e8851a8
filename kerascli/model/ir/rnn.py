"""`rnn` with a described cell, as a layer."""

from collections.abc import Sequence
from typing import Self, TypeVar

from pydantic import InstanceOf

from kerascli.layers.base import BaseLayer
from kerascli.layers.recurrent.base import SequenceSettings
from kerascli.model.ir.cells import Cell

T = TypeVar("T")


class _OfDescribedCell(BaseLayer):
    """What stands before the settings."""

    cell: InstanceOf[Cell]
    layers: tuple[InstanceOf[BaseLayer], ...]
    """All that are in the cell."""
    given: tuple[str, ...] = ()
    """The states that the node's `initial_state` names, in the order of its last inputs."""


class DescribedRNN(SequenceSettings, _OfDescribedCell):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Its node is called on the sequences, the constants and the states to start from."""

    component_name = "rnn"
    call_form = "several"
    takes_integers = True
    uses_masks = True

    zero_output_for_mask: bool = False

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """The fields that a config writes; the others follow from the cell and the node."""
        return tuple(name for name in cls.model_fields if name not in {"cell", "layers", "given"})

    @property
    def mixes_samples(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return any(layer.mixes_samples for layer in self.layers)

    def result_count(self) -> int:
        return len(self.cell.outputs) + (len(self.cell.states) if self.return_state else 0)

    def masked_results(self) -> int:
        return len(self.cell.outputs)

    def adds_losses(self) -> bool:
        return any(layer.adds_losses() for layer in self.layers)

    def may_lack_batch(self, index: int) -> bool:
        return index in self.parted(range(len(self.cell.inputs) + len(self.cell.constants)))[1]

    def of(self, cell: Cell) -> Self:
        """The same around another cell."""
        return self.model_copy(update={"cell": cell, "layers": tuple(node.layer for node in cell.nodes)})

    def parted(self, values: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
        """The node's inputs by what they are: sequences, constants, states to start from."""
        first, second = len(self.cell.inputs), len(self.cell.inputs) + len(self.cell.constants)
        return values[:first], values[first:second], values[second:]
