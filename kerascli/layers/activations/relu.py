"""ReLU as a layer."""

from torch import nn

from kerascli.layers.activations.base import ActivationModule
from kerascli.layers.base import Example, Layer, layer
from kerascli.parts import activations
from kerascli.shapes import NonNegativeFloat, TensorSpec


@layer(
    Example(input=(8,), output=(8,)),
    Example(input=(4, 4, 3), output=(4, 4, 3), config={"max_value": 6.0, "negative_slope": 0.1, "threshold": 0.2}),
    name="relu",
    aliases=("activation_relu",),
)
class ReLU(Layer):
    """max(x, 0), with an optional ceiling, leak and threshold."""

    mask = "pass"

    max_value: NonNegativeFloat | None = None
    """The largest value; null: no limit."""
    negative_slope: NonNegativeFloat = 0.0
    """What negative values are multiplied by."""
    threshold: NonNegativeFloat = 0.0
    """Where the function changes."""

    def build(self, x: TensorSpec) -> nn.Module:
        relu = activations.ReLU(negative_slope=self.negative_slope, max_value=self.max_value, threshold=self.threshold)
        return ActivationModule(relu)
