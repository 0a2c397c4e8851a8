"""Activation, ReLU, LeakyReLU, ThresholdedReLU, ELU and SELU: layers that each apply one activation function.

Keras 2 and R have thresholded_relu (Konda et al., 2015), R has selu.
"""

from typing import ClassVar

from torch import nn

from kerascli.foundation.shapes import NonNegativeFloat, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.parts import activations, base, fields
from kerascli.preprocessing.function import Function


@layer(Example(input=(8,), output=(8,), config={"activation": "tanh"}))
class Activation(Layer):
    """Applies an activation function to its input.

    Input and output: (N, *); an activation that changes the shape (`glu`) changes the output's.
    """

    mask = "pass"

    activation: fields.ActivationField
    """Activation function, by name or as a mapping."""

    def build(self, x: TensorSpec) -> nn.Module:
        return Function(self.activation)


class Rectifier(Layer):
    """Base class of ReLU, ELU and the like: layers that each apply one activation function."""

    mask = "pass"
    examples = (Example(input=(8,), output=(8,)),)

    applied: ClassVar[type[base.Activation]]
    """Activation function that the layer applies, whose arguments are the layer's."""

    def build(self, x: TensorSpec) -> nn.Module:
        return Function(self.applied(**{name: getattr(self, name) for name in self.applied.model_fields}))


@layer(name="relu", aliases=("activation_relu",))
class ReLU(Rectifier):
    """Rectified linear unit: max(x, 0), with an optional maximum, negative slope and threshold.

    f(x) = max_value for x >= max_value, x for threshold < x < max_value, negative_slope * (x - threshold) below. Input
    and output: (N, *).
    """

    applied = activations.ReLU

    max_value: NonNegativeFloat | None = None
    """Maximum of the output; null: unlimited."""
    negative_slope: NonNegativeFloat = 0.0
    """Slope of the function for inputs below the threshold."""
    threshold: NonNegativeFloat = 0.0
    """Threshold: values below it are set to negative_slope * (x - threshold)."""


@layer(name="leaky_relu", aliases=("activation_leaky_relu",))
class LeakyReLU(Rectifier):
    """Leaky ReLU: x above 0, negative_slope * x below (Maas et al., 2013).

    The default slope is 0.3 here and 0.2 in the activation of this name: both are Keras's. Input and output: (N, *).
    """

    applied = activations.LeakyReLU

    negative_slope: NonNegativeFloat = 0.3
    """Slope for values below 0."""


@layer(name="thresholded_relu", aliases=("activation_thresholded_relu",))
class ThresholdedReLU(Rectifier):
    """Thresholded ReLU: x above theta, 0 elsewhere (Konda et al., 2015).

    Input and output: (N, *).
    """

    theta: NonNegativeFloat = 1.0
    """Threshold: values up to it become 0."""

    def build(self, x: TensorSpec) -> nn.Module:
        return Function(activations.ReLU(threshold=self.theta))


@layer(aliases=("activation_elu",))
class ELU(Rectifier):
    """Exponential linear unit: x above 0, alpha * (exp(x) - 1) below (Clevert et al., 2016).

    Input and output: (N, *).
    """

    applied = activations.Elu

    alpha: float = 1.0
    """Scale alpha of the negative part, which approaches -alpha for large negative inputs."""


@layer(aliases=("activation_selu",))
class SELU(Rectifier):
    """Scaled exponential linear unit, which keeps mean 0 and variance 1 (Klambauer et al., 2017).

    Use it with lecun_normal kernels, and with alpha_dropout for dropout. Input and output: (N, *).
    """

    applied = activations.Selu
