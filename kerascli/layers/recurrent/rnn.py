"""RNN: any cell, or a stack of cells, along the steps of a sequence."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from torch import Tensor

from kerascli.component import Invalid
from kerascli.layers.base import LAYERS, BaseLayer, Example, Layer, ShapeMismatch, layer
from kerascli.layers.nesting import build_inner
from kerascli.layers.recurrent.base import Cell, Recurrence, Recurrent, SequenceModule, StepModule
from kerascli.layers.recurrent.fields import ZeroOutputForMask
from kerascli.layers.recurrent.steps import State
from kerascli.shapes import TensorSpec


def _is_cell(value: BaseLayer) -> Cell:
    if not isinstance(value, Cell):
        raise ValueError(f"expected a cell (gru_cell, lstm_cell ...), got {value.component_name}")
    return value


def _list_is_a_stack(value: Any) -> Any:
    if isinstance(value, dict) and "layers" in value:
        raise ValueError("a cell can be described only where rnn is an entry of 'layers', not inside of another thing")
    if not isinstance(value, list):
        return value
    try:
        return LAYERS.construct(StackedRNNCells, "cells", value)
    except Invalid as invalid:  # the list has no key of its own
        raise Invalid(replace(fault, path=fault.path[1:]) for fault in invalid.faults) from None


def _to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_ONE = {"x-component": "layer"}
_OneCell = Annotated[Cell, LAYERS.field(), AfterValidator(_is_cell)]
CellField = Annotated[
    _OneCell,
    BeforeValidator(_list_is_a_stack),
    WithJsonSchema({"anyOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1}, {"x-section": "rnn.cell"}]}),
]
"""A cell, or a list of cells, which is a stack of them; one that is described in the config the graph reads itself."""


class OfCell(Layer):
    """What `rnn` begins with."""

    cell: CellField
    """What is done at every step: a cell, several on top of each other, or a model of one step."""


@layer(
    Example(input=(5, 3), output=(4,), config={"cell": {"gru_cell": 4}}),
    Example(
        input=(5, 3),
        output=[(5, 2), (4,), (4,), (2,)],
        config={"cell": [{"lstm_cell": 4}, {"simple_rnn_cell": 2}], "return_sequences": True, "return_state": True},
    ),
)
class RNN(Recurrent, OfCell):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Takes a cell along the steps of a sequence; returns its last output, or with `return_sequences` all.

    A list of cells is a stack of them: each takes the outputs of the one before. A cell may be described, too: as a
    small model of one step. `return_state` adds the states of every cell as results. Masked steps change nothing.
    `unroll` is accepted and changes nothing.
    """

    takes_custom_cell = True

    zero_output_for_mask: ZeroOutputForMask = False

    @property
    def state_count(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.cell.state_count

    def build(self, x: TensorSpec) -> SequenceModule:
        if x.rank < 2:
            raise ShapeMismatch(f"needs sequences (steps, features), got {x}")
        return RNNModule(self, TensorSpec(x.shape[1:], x.dtype))


@layer(
    Example(
        input=(3,),
        output=[(2,), (4,), (4,), (2,)],
        config={"cells": [{"lstm_cell": 4}, {"gru_cell": 2}]},
        call={"states": [(4,), (4,), (2,)]},
    ),
    Example(input=(3,), output=[(4,), (4,)], config={"cells": [{"gru_cell": 4}]}, call={"states": [(4,)]}),
    name="stacked_rnn_cells",
)
class StackedRNNCells(Cell):
    """Cells on top of each other as one cell; its states are those of every cell, in order."""

    cells: Annotated[tuple[_OneCell, ...], BeforeValidator(_to_tuple), Field(min_length=1)]
    """The cells, from the inputs up."""

    @property
    def state_count(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sum(cell.state_count for cell in self.cells)

    def build(self, x: TensorSpec) -> StepModule:
        return StackModule(self, x)


class RNNModule(SequenceModule):
    def __init__(self, settings: RNN, step: TensorSpec) -> None:
        super().__init__()
        self.settings = settings
        self._name = settings.cell.component_name
        self.add_module(self._name, build_inner(settings.cell, step, trainable=settings.trainable))
        self.output_at = self._cell.output_at

    @property
    def _cell(self) -> Recurrence:
        cell = self.get_submodule(self._name)
        assert isinstance(cell, Recurrence)
        return cell

    def state_shapes(self, step: tuple[int, ...]) -> list[tuple[int, ...]]:
        return self._cell.state_shapes(step)

    def run(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        return self._cell.run(x, state, mask)


class StackModule(StepModule):
    """One cell goes through all steps before the next one does: the same numbers, and kernels stay fused."""

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
        self.output_at = sum(self._counts[:-1]) + self._cells[-1].output_at

    @property
    def _cells(self) -> list[Recurrence]:
        cells = [self.get_submodule(name) for name in self._names]
        return [cell for cell in cells if isinstance(cell, Recurrence)]

    def state_shapes(self, step: tuple[int, ...]) -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []
        for cell in self._cells:
            own = cell.state_shapes(step)
            shapes += own
            step = own[cell.output_at]
        return shapes

    def run(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        after: list[Tensor] = []
        for cell, count in zip(self._cells, self._counts, strict=True):
            x, own = cell.run(x, state[len(after) : len(after) + count], mask)
            after += own
        return x, tuple(after)
