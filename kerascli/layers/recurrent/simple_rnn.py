"""SimpleRNN: fully connected recurrent layer that feeds its output back (Elman, 1990)."""

from torch import Tensor

from kerascli.foundation.shapes import Seed, TensorSpec
from kerascli.layers.base import Example, layer
from kerascli.layers.recurrent.arguments import SimpleRNNCellArguments, SimpleRNNLayerArguments, ZeroOutputForMask
from kerascli.layers.recurrent.base import Cell, Recurrent, SequenceModule, StepModule
from kerascli.layers.recurrent.cell import GATE_OPEN, Products, WeightedRecurrence, features_of, features_of_sequence
from kerascli.layers.recurrent.fused import run_fused
from kerascli.layers.recurrent.steps import State
from kerascli.parts.activations import Linear, Tanh


@layer(Example(input=(5, 3), output=(4,), config={"units": 4}))
class SimpleRNN(Recurrent, SimpleRNNLayerArguments):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Fully connected RNN: h_t = activation(x_t @ kernel + h_(t-1) @ recurrent_kernel + bias) (Elman, 1990).

    Input: (N, T, F). Output: (N, units), or (N, T, units) with `return_sequences`; `return_state` adds the last output,
    (N, units). Masked steps keep the state. With `tanh` or `relu` and without `recurrent_dropout` it runs in one fused
    kernel, else step by step; `unroll` is accepted without effect.
    """

    seed: Seed = None
    zero_output_for_mask: ZeroOutputForMask = False

    def build(self, x: TensorSpec) -> SequenceModule:
        return SimpleRNNModule(self, features_of_sequence(x))


@layer(Example(input=(3,), output=[(4,), (4,)], config={"units": 4}, call={"states": [(4,)]}))
class SimpleRNNCell(SimpleRNNCellArguments, Cell):
    """Cell of `simple_rnn`, for one step: used in `rnn`, or as a node with `states` [output].

    Input: (N, F). Outputs: (N, units), and the state after the step, (N, units).
    """

    def build(self, x: TensorSpec) -> StepModule:
        return SimpleRNNCellModule(self, features_of(x))


class SimpleRNNRecurrence(WeightedRecurrence):
    masked_gates = (-GATE_OPEN,)  # relu gives 0 then, so that no output grows without bound

    settings: SimpleRNN | SimpleRNNCell

    def step(self, x: Tensor, state: State, products: Products) -> State:
        return ((self.settings.activation or Linear())(x + products(state[0], 0, 1)),)

    def all_steps(self, x: Tensor, state: State, kernel: Tensor) -> tuple[Tensor, State]:
        cell = "tanh" if isinstance(self.settings.activation, Tanh) else "relu"
        outputs, h = run_fused(cell, x, state[0], *self.fused_weights(kernel))
        return outputs, (h,)


class SimpleRNNCellModule(StepModule, SimpleRNNRecurrence):
    """Torch module of the layer `simple_rnn_cell`, called on one time step."""


class SimpleRNNModule(SequenceModule, SimpleRNNRecurrence):
    """Torch module of the layer `simple_rnn`, called on sequences."""

    settings: SimpleRNN  # pyright: ignore[reportIncompatibleVariableOverride]
