"""The layer `rnn` with a custom cell."""

from collections.abc import Sequence
from typing import Self, TypeVar

from pydantic import InstanceOf

from kerascli.layers.base import BaseLayer
from kerascli.layers.recurrent.base import SequenceSettings
from kerascli.model.ir.cells import Cell

T = TypeVar("T")


class _CustomCellFields(BaseLayer):
    """Fields of `CustomCellRNN` (an `rnn` with a custom cell) that a config does not set; a base class has them, so
    that they come first."""

    cell: InstanceOf[Cell]
    layers: tuple[InstanceOf[BaseLayer], ...]
    """All layers in the custom cell of the `rnn`."""
    given: tuple[str, ...] = ()
    """Names of the cell's states whose initial values `initial_state` gives; these values are the node's last inputs,
    in this order."""


class CustomCellRNN(SequenceSettings, _CustomCellFields):  # pyright: ignore[reportIncompatibleVariableOverride]
    """An RNN with a custom cell; its node's inputs are sequences, constants and initial states, in this order."""

    component_name = "rnn"
    call_form = "several"
    takes_integers = True
    uses_masks = True

    zero_output_for_mask: bool = False

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """Return the names of the fields of `rnn` that a config sets; all others are derived from the cell
        and the node."""
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
        return index in self.split_inputs(range(len(self.cell.inputs) + len(self.cell.constants)))[1]

    def of(self, cell: Cell) -> Self:
        """Return a copy of the `rnn` layer with another cell."""
        return self.model_copy(update={"cell": cell, "layers": tuple(node.layer for node in cell.nodes)})

    def split_inputs(self, values: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
        """Split `values`, one for each input of the `rnn` node, into values of input sequences, of constants, and of
        initial states."""
        first, second = len(self.cell.inputs), len(self.cell.inputs) + len(self.cell.constants)
        return values[:first], values[first:second], values[second:]
