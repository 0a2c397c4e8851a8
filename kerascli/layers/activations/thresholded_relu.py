"""ThresholdedReLU as a layer, as Keras 2 and R have it (Konda et al., 2015)."""

from torch import nn

from kerascli.layers.activations.base import ActivationModule
from kerascli.layers.base import Example, Layer, layer
from kerascli.parts import activations
from kerascli.shapes import NonNegativeFloat, TensorSpec


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(5, 8), output=(5, 8), config={"theta": 0.5}),
    name="thresholded_relu",
    aliases=("activation_thresholded_relu",),
)
class ThresholdedReLU(Layer):
    """x above theta, 0 elsewhere."""

    mask = "pass"

    theta: NonNegativeFloat = 1.0
    """Where the values begin to count."""

    def build(self, x: TensorSpec) -> nn.Module:
        return ActivationModule(activations.ReLU(threshold=self.theta))
