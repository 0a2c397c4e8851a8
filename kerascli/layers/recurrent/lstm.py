"""LSTM: long short-term memory (Hochreiter and Schmidhuber, 1997)."""

from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, layer
from kerascli.layers.recurrent.arguments import LSTMCellArguments, LSTMLayerArguments, UseCudnn, ZeroOutputForMask
from kerascli.layers.recurrent.base import Cell, Recurrent, SequenceModule, StepModule
from kerascli.layers.recurrent.cell import GATE_OPEN, Products, WeightedRecurrence, features_of, features_of_sequence
from kerascli.layers.recurrent.steps import State
from kerascli.parts import fields
from kerascli.parts.activations import Linear, Sigmoid, Tanh
from kerascli.parts.base import Initializer


@layer(Example(input=(5, 3), output=(4,), config={"units": 4}))
class LSTM(Recurrent, LSTMLayerArguments):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Long short-term memory layer: a recurrent layer with a gated cell state (Hochreiter and Schmidhuber, 1997).

    Input: (N, T, F). Output: (N, units), or (N, T, units) with `return_sequences`; `return_state` adds the last output
    and the last cell state, (N, units) each. Masked steps keep the state. The default activations without
    `recurrent_dropout` run in one fused kernel, others step by step; `unroll` is accepted without effect.
    """

    state_count = 2

    use_cudnn: UseCudnn = "auto"
    zero_output_for_mask: ZeroOutputForMask = False

    @property
    def fused(self) -> bool:
        return self.use_cudnn is not False and _fits_kernel(self)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.use_cudnn is True and not self.fused:
            raise ValueError("use_cudnn: true needs activation tanh, recurrent_activation sigmoid, recurrent_dropout 0")
        return self

    def build(self, x: TensorSpec) -> SequenceModule:
        return LSTMModule(self, features_of_sequence(x))


@layer(Example(input=(3,), output=[(4,), (4,), (4,)], config={"units": 4}, call={"states": [(4,), (4,)]}))
class LSTMCell(LSTMCellArguments, Cell):
    """Cell of `lstm`, for one step: used in `rnn`, or as a node with `states` [output, cell state].

    Input: (N, F). Outputs: (N, units), then the output and the cell state after the step, (N, units) each.
    """

    state_count = 2

    @property
    def fused(self) -> bool:
        return _fits_kernel(self)

    def build(self, x: TensorSpec) -> StepModule:
        return LSTMCellModule(self, features_of(x))


def _fits_kernel(settings: LSTM | LSTMCell) -> bool:
    return (
        settings.recurrent_dropout == 0
        and isinstance(settings.activation, Tanh)
        and isinstance(settings.recurrent_activation, Sigmoid)
    )


class LSTMRecurrence(WeightedRecurrence):
    """Base class of the modules of lstm and lstm_cell; the order of gates, as in torch: input, forget, cell, output."""

    masked_gates = (-GATE_OPEN, GATE_OPEN, 0.0, 0.0)
    states = 2

    settings: LSTM | LSTMCell  # pyright: ignore[reportIncompatibleVariableOverride]

    def bias_start(self) -> Initializer:
        fill = self.settings.bias_initializer
        return ForgetBias(other_gates=fill) if self.settings.unit_forget_bias else fill

    def step(self, x: Tensor, state: State, products: Products) -> State:
        activate, gate = self.settings.activation or Linear(), self.settings.recurrent_activation or Linear()
        h, c = state
        i, f, g, o = (x + products(h, 0, 4)).chunk(4, dim=-1)
        c = gate(f) * c + gate(i) * activate(g)
        return gate(o) * activate(c), c

    def all_steps(self, x: Tensor, state: State, kernel: Tensor) -> tuple[Tensor, State]:
        weights, states = self.fused_weights(kernel), [one.unsqueeze(0) for one in state]
        outputs, h, c = torch.lstm(x, states, weights, self.bias is not None, 1, 0.0, self.training, False, True)
        return outputs, (h.squeeze(0), c.squeeze(0))


class LSTMCellModule(StepModule, LSTMRecurrence):
    """Torch module of the layer `lstm_cell`, called on one time step."""


class LSTMModule(SequenceModule, LSTMRecurrence):
    """Torch module of the layer `lstm`, called on sequences."""

    settings: LSTM  # pyright: ignore[reportIncompatibleVariableOverride]


class ForgetBias(Initializer):
    """Initializer of an LSTM's bias: ones for the forget gate (Jozefowicz et al., 2015), and the values of another
    initializer for the other gates."""

    other_gates: fields.InitializerField

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        units = shape[0] // 4
        before = self.other_gates((units,), dtype=dtype, generator=generator)
        after = self.other_gates((2 * units,), dtype=dtype, generator=generator)
        return torch.cat([before, torch.ones(units, dtype=dtype), after])
