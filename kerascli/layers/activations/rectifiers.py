"""ReLU, LeakyReLU, ThresholdedReLU, ELU and SELU as layers: activations of these names with settings of their own.

Keras 2 and R have thresholded_relu (Konda et al., 2015), R has selu.
"""

from abc import abstractmethod

from torch import nn

from kerascli.layers.activations.base import ActivationModule
from kerascli.layers.base import Example, Layer, layer
from kerascli.parts import activations
from kerascli.parts.base import Activation
from kerascli.shapes import NonNegativeFloat, TensorSpec


class Rectifier(Layer):
    """A layer that is an activation."""

    mask = "pass"
    examples = (Example(input=(8,), output=(8,)),)

    @abstractmethod
    def activation(self) -> Activation:
        """The activation, with the layer's settings."""

    def build(self, x: TensorSpec) -> nn.Module:
        return ActivationModule(self.activation())


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(4, 4, 3), output=(4, 4, 3), config={"max_value": 6.0, "negative_slope": 0.1, "threshold": 0.2}),
    name="relu",
    aliases=("activation_relu",),
)
class ReLU(Rectifier):
    """max(x, 0), with an optional ceiling, leak and threshold."""

    max_value: NonNegativeFloat | None = None
    """The largest value; null: no limit."""
    negative_slope: NonNegativeFloat = 0.0
    """What negative values are multiplied by."""
    threshold: NonNegativeFloat = 0.0
    """Where the function changes."""

    def activation(self) -> Activation:
        return activations.ReLU(negative_slope=self.negative_slope, max_value=self.max_value, threshold=self.threshold)


@layer(name="leaky_relu", aliases=("activation_leaky_relu",))
class LeakyReLU(Rectifier):
    """x above 0, negative_slope * x below (0.3 here, 0.2 in the activation of this name: both are Keras's)."""

    negative_slope: NonNegativeFloat = 0.3
    """What negative values are multiplied by."""

    def activation(self) -> Activation:
        return activations.LeakyReLU(negative_slope=self.negative_slope)


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(5, 8), output=(5, 8), config={"theta": 0.5}),
    name="thresholded_relu",
    aliases=("activation_thresholded_relu",),
)
class ThresholdedReLU(Rectifier):
    """x above theta, 0 elsewhere."""

    theta: NonNegativeFloat = 1.0
    """Where the values begin to count."""

    def activation(self) -> Activation:
        return activations.ReLU(threshold=self.theta)


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(5, 8), output=(5, 8), config={"alpha": 0.3}),
    aliases=("activation_elu",),
)
class ELU(Rectifier):
    """x above 0, alpha * (exp(x) - 1) below."""

    alpha: float = 1.0
    """What large negative numbers come close to, with the opposite sign."""

    def activation(self) -> Activation:
        return activations.Elu(alpha=self.alpha)


@layer(aliases=("activation_selu",))
class SELU(Rectifier):
    """A scaled elu that keeps mean 0 and variance 1; wants lecun_normal kernels, and alpha_dropout for dropout."""

    def activation(self) -> Activation:
        return activations.Selu()
