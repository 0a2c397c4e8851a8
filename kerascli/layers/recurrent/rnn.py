"""RNN: any cell, or a stack of cells, run over the steps of a sequence."""

from dataclasses import replace
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from torch import Tensor

from kerascli.foundation.shapes import TensorSpec, to_tuple
from kerascli.language.component import Invalid
from kerascli.layers.base import LAYERS, BaseLayer, Example, Layer, NotSequences, layer
from kerascli.layers.nesting import build_inner
from kerascli.layers.recurrent.arguments import ZeroOutputForMask
from kerascli.layers.recurrent.base import Cell, Recurrence, Recurrent, SequenceModule, StepModule
from kerascli.layers.recurrent.steps import State


def _is_cell(value: BaseLayer) -> Cell:
    if not isinstance(value, Cell):
        raise ValueError(f"expected a cell (gru_cell, lstm_cell ...), got {value.component_name}")
    return value


def _list_is_a_stack(value: Any) -> Any:
    if isinstance(value, dict) and "layers" in value:
        text = "a cell can be defined in place only where rnn is an entry of 'layers', not inside another layer"
        raise ValueError(text)
    if not isinstance(value, list):
        return value
    try:
        return LAYERS.construct(StackedRNNCells, "cells", value)
    except Invalid as invalid:  # the list has no key of its own
        raise Invalid(replace(fault, path=fault.path[1:]) for fault in invalid.faults) from None


_ONE = {"x-component": "layer"}
_OneCell = Annotated[Cell, LAYERS.field(), AfterValidator(_is_cell)]
CellField = Annotated[
    _OneCell,
    BeforeValidator(_list_is_a_stack),
    WithJsonSchema({"anyOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1}, {"x-section": "rnn.cell"}]}),
]
"""Field type of `rnn`'s cell: a cell or a list (stack) of cells. Custom cells, small models in the config, are read
with the model."""


class CellArgument(Layer):
    """Mixin with the argument `cell` of `rnn`, which comes first in Keras."""

    cell: CellField
    """Cell to run at each step: a cell, a list of cells (a stack), or a small model of one step."""


@layer(Example(input=(5, 3), output=(4,), config={"cell": {"gru_cell": 4}}))
class RNN(Recurrent, CellArgument):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Runs a cell over the steps of a sequence.

    Input: (N, T, *). Output: the last step's, (N, units), or all, (N, T, units), with `return_sequences`;
    `return_state` adds the states of every cell. In a list of cells each takes the outputs of the one before. A cell
    may also be defined in place, as a small model of one step. Masked steps keep the state; `unroll` is accepted
    without effect.
    """

    takes_custom_cell = True

    zero_output_for_mask: ZeroOutputForMask = False

    @property
    def state_count(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.cell.state_count

    @property
    def is_fused(self) -> bool:
        return self.cell.is_fused

    def build(self, x: TensorSpec) -> SequenceModule:
        if x.rank < 2:
            raise NotSequences(x)
        return RNNModule(self, TensorSpec(x.shape[1:], x.dtype))


@layer(
    Example(
        input=(3,),
        output=[(2,), (4,), (4,), (2,)],
        config={"cells": [{"lstm_cell": 4}, {"gru_cell": 2}]},
        call={"states": [(4,), (4,), (2,)]},
    )
)
class StackedRNNCells(Cell):
    """Stack of cells as a single cell; its states are those of all cells, in order.

    Input: (N, *). Outputs: the last cell's output, then the states of every cell.
    """

    cells: Annotated[tuple[_OneCell, ...], BeforeValidator(to_tuple), Field(min_length=1)]
    """Cells from the first, which gets the input, to the last, which gives the output."""

    @property
    def state_count(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sum(cell.state_count for cell in self.cells)

    @property
    def is_fused(self) -> bool:
        return all(cell.is_fused for cell in self.cells)

    def build(self, x: TensorSpec) -> StepModule:
        return StackModule(self, x)


class RNNModule(SequenceModule):
    def __init__(self, settings: RNN, step: TensorSpec) -> None:
        super().__init__(settings)
        self._name = settings.cell.component_name
        self.add_module(self._name, build_inner(settings.cell, step, trainable=settings.trainable))
        self.output_index = self._cell.output_index

    @property
    def _cell(self) -> Recurrence:
        return cast(Recurrence, self.get_submodule(self._name))

    def state_shapes(self, step: tuple[int, ...]) -> list[tuple[int, ...]]:
        return self._cell.state_shapes(step)

    def run(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        return self._cell.run(x, state, mask)


class StackModule(StepModule):
    """Module of stacked cells; for fused kernels, each cell runs over all time steps before the next cell starts."""

    def __init__(self, settings: StackedRNNCells, step: TensorSpec) -> None:
        super().__init__()
        self._counts = [cell.state_count for cell in settings.cells]
        self._names: list[str] = []
        for cell in settings.cells:
            module = build_inner(cell, step, trainable=settings.trainable)
            assert isinstance(module, Recurrence)
            name = cell.component_name
            name += f"_{number}" if (number := sum(n.startswith(name) for n in self._names)) else ""
            self.add_module(name, module)
            self._names.append(name)
            step = TensorSpec(module.output_shape(step), step.dtype)
        self.output_index = sum(self._counts[:-1]) + self._cells[-1].output_index

    @property
    def _cells(self) -> list[Recurrence]:
        return [cast(Recurrence, self.get_submodule(name)) for name in self._names]

    def state_shapes(self, step: tuple[int, ...]) -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []
        for cell in self._cells:
            own = cell.state_shapes(step)
            shapes += own
            step = own[cell.output_index]
        return shapes

    def run(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        after: list[Tensor] = []
        for cell, count in zip(self._cells, self._counts, strict=True):
            x, own = cell.run(x, state[len(after) : len(after) + count], mask)
            after += own
        return x, tuple(after)
