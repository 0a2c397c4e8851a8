"""Mixins with the settings that recurrent layers and cells share, each defined once.

Each class here is a group of consecutive arguments of Keras. A layer made of several lists the last group first:
pydantic takes the fields of the last base class first, and so they are in Keras's order.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from kerascli.foundation.shapes import Fraction, PositiveInt, Seed
from kerascli.layers.base import Layer
from kerascli.layers.recurrent.base import Recurrent
from kerascli.parts import fields
from kerascli.parts.activations import ReLU, Sigmoid, Tanh
from kerascli.parts.base import Activation, Initializer
from kerascli.parts.initializers import GlorotUniform, Orthogonal, Zeros

ZeroOutputForMask = Annotated[
    bool, Field(description="Output 0 at masked steps; false: repeat the output before them.")
]


class UnitArguments(Layer):
    """Mixin with the arguments that come first in Keras's recurrent layers and cells over feature vectors."""

    units: PositiveInt
    """Number of output units: dimensionality of the output and of the state."""
    activation: fields.OutputActivation = Tanh()

    if TYPE_CHECKING:  # declared by other groups of arguments
        recurrent_activation: Activation | None
        use_bias: bool
        dropout: float
        recurrent_dropout: float
        seed: int | None

        def bias_start(self) -> Initializer: ...


class GatedUnitArguments(UnitArguments):
    """Mixin with the first arguments of recurrent layers and cells with gates, which torch has a fused kernel for."""

    @property
    def is_fused(self) -> bool:
        default = isinstance(self.activation, Tanh) and isinstance(self.recurrent_activation, Sigmoid)
        return default and self.recurrent_dropout == 0


class GateArguments(Layer):
    """Mixin with the argument `recurrent_activation` of recurrent layers and cells that have gates."""

    recurrent_activation: fields.ActivationField | None = Sigmoid()
    """Activation function of the gates; null: no activation function."""


class InitializerArguments(Layer):
    """Mixin with the arguments of recurrent layers and cells for a bias and for the initializers of their weights."""

    use_bias: fields.UseBias = True
    kernel_initializer: fields.KernelInitializer = GlorotUniform()
    recurrent_initializer: fields.InitializerField = Orthogonal()
    """Initializer of the recurrent kernel, which transforms the previous output."""
    bias_initializer: fields.BiasInitializer = Zeros()

    def bias_start(self) -> Initializer:
        """Return the initializer of the bias of all gates."""
        return self.bias_initializer


class ForgetGateArguments(InitializerArguments):
    """Mixin with the argument `unit_forget_bias` of recurrent layers and cells that have a forget gate."""

    unit_forget_bias: bool = True
    """Initialize the forget gate's bias to 1 (Jozefowicz et al., 2015), the other gates' biases by bias_initializer."""

    def bias_start(self) -> Initializer:
        return ForgetBias(other_gates=self.bias_initializer) if self.unit_forget_bias else self.bias_initializer


class ForgetBias(Initializer):
    """Initializer of an LSTM's bias: ones for the forget gate (Jozefowicz et al., 2015), and the values of another
    initializer for the other gates."""

    other_gates: fields.InitializerField

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        units = shape[0] // 4
        before = self.other_gates((units,), dtype=dtype, generator=generator)
        after = self.other_gates((2 * units,), dtype=dtype, generator=generator)
        return torch.cat([before, torch.ones(units, dtype=dtype), after])


class RegularizerArguments(Layer):
    """Mixin with the arguments of recurrent layers and cells for the regularizers of their weights."""

    kernel_regularizer: fields.KernelRegularizer = None
    recurrent_regularizer: fields.RegularizerField | None = None
    """Regularizer of the recurrent kernel, a penalty added to the loss."""
    bias_regularizer: fields.BiasRegularizer = None


class ActivityRegularizerArgument(Layer):
    """Mixin with the argument `activity_regularizer`, which recurrent layers have and their cells lack."""

    activity_regularizer: fields.ActivityRegularizer = None


class ConstraintArguments(Layer):
    """Mixin with the arguments of recurrent layers and cells for the constraints of weights and for dropout rates."""

    kernel_constraint: fields.KernelConstraint = None
    recurrent_constraint: fields.ConstraintField | None = None
    """Constraint applied to the recurrent kernel after each update."""
    bias_constraint: fields.BiasConstraint = None
    dropout: Fraction = 0.0
    """Fraction of the input features that is dropped in training, the same features at every step."""
    recurrent_dropout: Fraction = 0.0
    """Fraction of the previous output's features that is dropped in training, the same features at every step."""


class LayerArguments(ConstraintArguments, ActivityRegularizerArgument):
    """Mixin with the arguments of recurrent layers that follow the regularizers of weights."""


class SeedArgument(Layer):
    """Mixin with the seed of dropout, an argument that most recurrent layers have after the dropout rates."""

    seed: Seed = None


class ResetAfterArgument(Layer):
    """Mixin with the argument `reset_after` of `gru` and `gru_cell`."""

    reset_after: bool = True
    """Apply the reset gate after the product with the recurrent kernel; false: before it."""

    @property
    def is_fused(self) -> bool:
        return self.reset_after and super().is_fused


class CudnnArguments(Recurrent):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Mixin with the last arguments of `gru` and `lstm`, after those of the sequence."""

    kernel_needs: ClassVar[str] = "activation tanh, recurrent_activation sigmoid, recurrent_dropout 0"
    """Arguments with which torch's fused kernel runs, for messages."""

    use_cudnn: Annotated[
        bool | Literal["auto"],
        Field(description="true: require torch's fused kernel; false: run step by step; auto: fused where possible."),
    ] = "auto"
    zero_output_for_mask: ZeroOutputForMask = False

    @property
    def is_fused(self) -> bool:
        return self.use_cudnn is not False and super().is_fused

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.use_cudnn is True and not self.is_fused:
            raise ValueError(f"use_cudnn: true needs {self.kernel_needs}")
        return self


class SimpleRNNArguments(RegularizerArguments, InitializerArguments, UnitArguments):
    """Mixin with the arguments of `simple_rnn` and `simple_rnn_cell` up to the regularizers."""

    @property
    def is_fused(self) -> bool:
        return self.recurrent_dropout == 0 and (isinstance(self.activation, Tanh) or self.activation == ReLU())


class SimpleRNNLayerArguments(LayerArguments, SimpleRNNArguments):
    """Mixin with the arguments of `simple_rnn` before those of the sequence."""


class SimpleRNNCellArguments(SeedArgument, ConstraintArguments, SimpleRNNArguments):
    """Mixin with the arguments of `simple_rnn_cell`."""


class GRUArguments(RegularizerArguments, InitializerArguments, GateArguments, GatedUnitArguments):
    """Mixin with the arguments of `gru` and `gru_cell` up to the regularizers."""


class GRULayerArguments(SeedArgument, LayerArguments, GRUArguments):
    """Mixin with the arguments of `gru` before those of the sequence."""


class GRUCellArguments(SeedArgument, ResetAfterArgument, ConstraintArguments, GRUArguments):
    """Mixin with the arguments of `gru_cell`."""


class LSTMGateArguments(RegularizerArguments, ForgetGateArguments, GateArguments):
    """Mixin with the arguments of all LSTMs, convolutional ones too, from the gates up to the regularizers."""

    if TYPE_CHECKING:  # declared by other groups of arguments
        activation: Activation | None


class LSTMArguments(LSTMGateArguments, GatedUnitArguments):
    """Mixin with the arguments of `lstm` and `lstm_cell` up to the regularizers."""

    activation: fields.ActivationField | None = Tanh()
    """Activation function of the cell candidate and of the output; null: no activation function."""


class LSTMLayerArguments(SeedArgument, LayerArguments, LSTMArguments):
    """Mixin with the arguments of `lstm` before those of the sequence."""


class LSTMCellArguments(SeedArgument, ConstraintArguments, LSTMArguments):
    """Mixin with the arguments of `lstm_cell`."""
