"""Settings that recurrent layers and cells share, each in one place.

A class here is a stretch of Keras's arguments. Whoever is made of several lists the last stretch first: pydantic
begins with the fields of the last base class, and so they stand in Keras's order.
"""

from typing import Annotated, Literal

from pydantic import Field

from kerascli.layers.base import Layer
from kerascli.parts import fields
from kerascli.parts.activations import Sigmoid, Tanh
from kerascli.parts.initializers import GlorotUniform, Orthogonal, Zeros
from kerascli.shapes import Fraction, PositiveInt, Seed

UseCudnn = Annotated[
    bool | Literal["auto"],
    Field(description="True: the fused kernel or an error; false: step by step; auto: fused where it can be."),
]
ZeroOutputForMask = Annotated[bool, Field(description="Outputs of masked steps are 0, not the output before them.")]


class Sized(Layer):
    """What cells of vectors begin with."""

    units: PositiveInt
    """How many values come out."""
    activation: fields.OutputActivation = Tanh()


class Gated(Layer):
    """What cells with gates have more."""

    recurrent_activation: fields.ActivationField | None = Sigmoid()
    """The activation of the gates."""


class Initialized(Layer):
    """What the weights start from."""

    use_bias: fields.UseBias = True
    kernel_initializer: fields.KernelInitializer = GlorotUniform()
    recurrent_initializer: fields.InitializerField = Orthogonal()
    """What the recurrent kernel starts from."""
    bias_initializer: fields.BiasInitializer = Zeros()


class Forgetting(Layer):
    """What cells with a forget gate have more."""

    unit_forget_bias: bool = True
    """The bias of the forget gate starts from 1."""


class Regularized(Layer):
    """Penalties on the weights."""

    kernel_regularizer: fields.KernelRegularizer = None
    recurrent_regularizer: fields.RegularizerField | None = None
    """A penalty on the recurrent kernel, added to the loss."""
    bias_regularizer: fields.BiasRegularizer = None


class Penalized(Layer):
    """What a layer has and a cell has not."""

    activity_regularizer: fields.ActivityRegularizer = None


class Constrained(Layer):
    """Constraints of the weights, and dropout."""

    kernel_constraint: fields.KernelConstraint = None
    recurrent_constraint: fields.ConstraintField | None = None
    """What the recurrent kernel is held to after each update."""
    bias_constraint: fields.BiasConstraint = None
    dropout: Fraction = 0.0
    """The fraction of the inputs that is dropped in training, the same at every step."""
    recurrent_dropout: Fraction = 0.0
    """The fraction of the state that is dropped in training, the same at every step."""


class Seeded(Layer):
    """Where dropout has its seed, as a rule."""

    seed: Seed = None


class LSTMWeights(Regularized, Forgetting, Initialized, Gated, Sized):
    """What an LSTM and its cell begin with."""

    activation: fields.ActivationField | None = Tanh()
    """The activation of the memory and of the output."""
