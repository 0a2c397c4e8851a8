"""GRU: gated recurrent unit (Cho et al., 2014)."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.recurrent.base import Cell, Recurrent, SequenceModule, StepModule
from kerascli.layers.recurrent.cell import SHUT, Products, WeightedRecurrence, features_of, features_of_sequence
from kerascli.layers.recurrent.fields import (
    Constrained,
    Gated,
    Initialized,
    Penalized,
    Regularized,
    Seeded,
    Sized,
    UseCudnn,
    ZeroOutputForMask,
)
from kerascli.layers.recurrent.steps import State
from kerascli.parts.activations import Linear, Sigmoid, Tanh
from kerascli.shapes import Seed, TensorSpec

ResetAfter = Annotated[
    bool, Field(description="The reset gate acts after the product with the output before it, not before it.")
]


@layer(
    Example(input=(5, 3), output=(4,), config={"units": 4}),
    Example(input=(5, 3), output=(5, 4), config={"units": 4, "return_sequences": True, "recurrent_dropout": 0.2}),
    Example(input=(5, 3), output=[(4,), (4,)], config={"units": 4, "return_state": True, "reset_after": False}),
)
class GRU(Recurrent, Seeded, Constrained, Penalized, Regularized, Initialized, Gated, Sized):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A recurrent layer whose gates update and reset its output; returns the last one, or with `return_sequences` all.

    `return_state` adds the last output as a result. Masked steps change nothing. The default activations with
    `reset_after` and without `recurrent_dropout` run in one fused kernel, others step by step; `unroll` is accepted
    and changes nothing.
    """

    reset_after: ResetAfter = True
    use_cudnn: UseCudnn = "auto"
    zero_output_for_mask: ZeroOutputForMask = False

    @property
    def fused(self) -> bool:
        return self.use_cudnn is not False and _fits_kernel(self)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.use_cudnn is True and not self.fused:
            needed = "activation tanh, recurrent_activation sigmoid, recurrent_dropout 0, reset_after true"
            raise ValueError(f"use_cudnn: true needs {needed}")
        return self

    def build(self, x: TensorSpec) -> SequenceModule:
        return GRUModule(self, features_of_sequence(x))


@layer(
    Example(input=(3,), output=[(4,), (4,)], config={"units": 4}, call={"states": [(4,)]}),
    Example(
        input=(3,),
        output=[(4,), (4,)],
        config={"units": 4, "dropout": 0.2, "recurrent_dropout": 0.2, "reset_after": False},
        call={"states": [(4,)]},
    ),
)
class GRUCell(Constrained, Regularized, Initialized, Gated, Sized, Cell):
    """One step of a `gru`: for `rnn`, or with `states` [output] as a node of its own."""

    reset_after: ResetAfter = True
    seed: Seed = None

    @property
    def fused(self) -> bool:
        return _fits_kernel(self)

    def build(self, x: TensorSpec) -> StepModule:
        return GRUCellModule(self, features_of(x))


def _fits_kernel(settings: GRU | GRUCell) -> bool:
    return (
        settings.reset_after
        and settings.recurrent_dropout == 0
        and isinstance(settings.activation, Tanh)
        and isinstance(settings.recurrent_activation, Sigmoid)
    )


class GRURecurrence(WeightedRecurrence):
    """Gates stand in Keras's order: update, reset, new. torch's kernel has reset first, so it is given copies:
    weights that are Keras's but for their axes stay views of each other, which constraints rely on."""

    hold = (SHUT, 0.0, 0.0)

    settings: GRU | GRUCell  # pyright: ignore[reportIncompatibleVariableOverride]

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
        weights = [_reset_first(weight) for weight in self.fused_weights(kernel)]
        outputs, h = torch.gru(
            x, state[0].unsqueeze(0), weights, self.bias is not None, 1, 0.0, self.training, False, True
        )
        return outputs, (h.squeeze(0),)


def _reset_first(weight: Tensor) -> Tensor:
    z, r, new = weight.chunk(3)
    return torch.cat([r, z, new])


class GRUCellModule(StepModule, GRURecurrence):
    """The cell as a layer."""


class GRUModule(SequenceModule, GRURecurrence):
    """The layer."""

    settings: GRU  # pyright: ignore[reportIncompatibleVariableOverride]
