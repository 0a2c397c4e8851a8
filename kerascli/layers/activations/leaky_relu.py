"""LeakyReLU as a layer."""

from torch import nn

from kerascli.layers.activations.base import ActivationModule
from kerascli.layers.base import Example, Layer, layer
from kerascli.parts import activations
from kerascli.shapes import NonNegativeFloat, TensorSpec


@layer(Example(input=(8,), output=(8,)), name="leaky_relu", aliases=("activation_leaky_relu",))
class LeakyReLU(Layer):
    """x above 0, negative_slope * x below (0.3 here, 0.2 in the activation of this name: both are Keras's)."""

    mask = "pass"

    negative_slope: NonNegativeFloat = 0.3
    """What negative values are multiplied by."""

    def build(self, x: TensorSpec) -> nn.Module:
        return ActivationModule(activations.LeakyReLU(negative_slope=self.negative_slope))
