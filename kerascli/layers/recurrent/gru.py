"""GRU: gated recurrent unit (Cho et al., 2014)."""

from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, layer
from kerascli.layers.recurrent.arguments import CudnnArguments, GRUCellArguments, GRULayerArguments, ResetAfterArgument
from kerascli.layers.recurrent.base import Cell, Recurrent, SequenceModule, StepModule
from kerascli.layers.recurrent.cell import GATE_OPEN, Products, WeightedRecurrence, features_of, features_of_sequence
from kerascli.layers.recurrent.fused import run_fused
from kerascli.layers.recurrent.steps import State
from kerascli.parts.activations import Linear


@layer(Example(input=(5, 3), output=(4,), config={"units": 4}))
class GRU(CudnnArguments, ResetAfterArgument, Recurrent, GRULayerArguments):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Gated recurrent unit: a recurrent layer whose update and reset gates control its output (Cho et al., 2014).

    Input: (N, T, F). Output: (N, units), or (N, T, units) with `return_sequences`; `return_state` adds the last output,
    (N, units). Masked steps keep the state. The default activations with `reset_after` and without `recurrent_dropout`
    run in one fused kernel, others step by step; `unroll` is accepted without effect.
    """

    kernel_needs = f"{CudnnArguments.kernel_needs}, reset_after true"

    def build(self, x: TensorSpec) -> SequenceModule:
        return GRUModule(self, features_of_sequence(x))


@layer(Example(input=(3,), output=[(4,), (4,)], config={"units": 4}, call={"states": [(4,)]}))
class GRUCell(GRUCellArguments, Cell):
    """Cell of `gru`, for one step: used in `rnn`, or as a node with `states` [output].

    Input: (N, F). Outputs: (N, units), and the state after the step, (N, units).
    """

    def build(self, x: TensorSpec) -> StepModule:
        return GRUCellModule(self, features_of(x))


class GRURecurrence(WeightedRecurrence):
    """Base class of the modules of gru and gru_cell; the order of the gates is Keras's: update, reset, new.

    The weights stay in Keras's order: as they differ from Keras's in the order of axes alone, they are views of each
    other, which constraints rely on.
    """

    masked_gates = (GATE_OPEN, 0.0, 0.0)

    settings: GRU | GRUCell

    def bias_shape(self, columns: int) -> tuple[int, ...]:
        return (2, columns) if self.settings.reset_after else (columns,)

    def biases(self) -> tuple[Tensor | None, Tensor | None]:
        if self.bias is None or not self.settings.reset_after:
            return self.bias, None
        return self.bias[0], self.bias[1]

    def step(self, x: Tensor, state: State, products: Products) -> State:
        activate, gate = self.settings.activation or Linear(), self.settings.recurrent_activation or Linear()
        (h,) = state
        x_z, x_r, x_new = x.chunk(3, dim=-1)
        if self.settings.reset_after:
            h_z, h_r, h_new = products(h, 0, 3).chunk(3, dim=-1)
            z, h_new = gate(x_z + h_z), gate(x_r + h_r) * h_new
        else:
            h_z, h_r = products(h, 0, 2).chunk(2, dim=-1)
            z, h_new = gate(x_z + h_z), products(gate(x_r + h_r) * h, 2, 3)
        return (z * h + (1 - z) * activate(x_new + h_new),)

    def all_steps(self, x: Tensor, state: State, kernel: Tensor) -> tuple[Tensor, State]:
        outputs, h = run_fused("gru", x, state[0], *self.fused_weights(kernel))
        return outputs, (h,)


class GRUCellModule(StepModule, GRURecurrence):
    """Torch module of the layer `gru_cell`, called on one time step."""


class GRUModule(SequenceModule, GRURecurrence):
    """Torch module of the layer `gru`, called on sequences."""

    settings: GRU  # pyright: ignore[reportIncompatibleVariableOverride]
