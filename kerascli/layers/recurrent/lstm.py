"""LSTM: long short-term memory (Hochreiter and Schmidhuber, 1997)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, layer
from kerascli.layers.recurrent.arguments import CudnnArguments, LSTMCellArguments, LSTMGateArguments, LSTMLayerArguments
from kerascli.layers.recurrent.base import Cell, SequenceModule, StepModule
from kerascli.layers.recurrent.cell import GATE_OPEN, Products, WeightedRecurrence, features_of, features_of_sequence
from kerascli.layers.recurrent.steps import State
from kerascli.parts.activations import Linear
from kerascli.preprocessing.function import full_precision


@layer(Example(input=(5, 3), output=(4,), config={"units": 4}))
class LSTM(CudnnArguments, LSTMLayerArguments):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Long short-term memory layer: a recurrent layer with a gated cell state (Hochreiter and Schmidhuber, 1997).

    Input: (N, T, F). Output: (N, units), or (N, T, units) with `return_sequences`; `return_state` adds the last output
    and the last cell state, (N, units) each. Masked steps keep the state. The default activations without
    `recurrent_dropout` run in one fused kernel, others step by step; `unroll` is accepted without effect.
    """

    state_count = 2

    def build(self, x: TensorSpec) -> SequenceModule:
        return LSTMModule(self, features_of_sequence(x))


@layer(Example(input=(3,), output=[(4,), (4,), (4,)], config={"units": 4}, call={"states": [(4,), (4,)]}))
class LSTMCell(LSTMCellArguments, Cell):
    """Cell of `lstm`, for one step: used in `rnn`, or as a node with `states` [output, cell state].

    Input: (N, F). Outputs: (N, units), then the output and the cell state after the step, (N, units) each.
    """

    state_count = 2

    def build(self, x: TensorSpec) -> StepModule:
        return LSTMCellModule(self, features_of(x))


def next_state(settings: LSTMGateArguments, gates: Sequence[Tensor], c: Tensor) -> State:
    """Return output and cell state after a time step; `gates` are the pre-activations: input, forget, cell, output."""
    activate, gate = settings.activation or Linear(), settings.recurrent_activation or Linear()
    i, f, g, o = gates
    c = gate(f) * c + gate(i) * activate(g)
    return gate(o) * activate(c), c


class LSTMRecurrence(WeightedRecurrence):
    """Base class of the modules of lstm and lstm_cell; the order of gates, as in torch: input, forget, cell, output."""

    masked_gates = (-GATE_OPEN, GATE_OPEN, 0.0, 0.0)

    settings: LSTM | LSTMCell

    def step(self, x: Tensor, state: State, products: Products) -> State:
        return next_state(self.settings, (x + products(state[0], 0, 4)).chunk(4, dim=-1), state[1])

    def all_steps(self, x: Tensor, state: State, kernel: Tensor) -> tuple[Tensor, State]:
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.float16
        if half and x.device.type == "cpu":  # for which torch has no such kernel
            with full_precision(x):
                return self.all_steps(x.float(), (state[0].float(), state[1].float()), kernel)
        weights, states = self.fused_weights(kernel), [one.unsqueeze(0) for one in state]
        outputs, h, c = torch.lstm(x, states, weights, self.bias is not None, 1, 0.0, self.training, False, True)
        return outputs, (h.squeeze(0), c.squeeze(0))


class LSTMCellModule(StepModule, LSTMRecurrence):
    """Torch module of the layer `lstm_cell`, called on one time step."""


class LSTMModule(SequenceModule, LSTMRecurrence):
    """Torch module of the layer `lstm`, called on sequences."""

    settings: LSTM  # pyright: ignore[reportIncompatibleVariableOverride]
