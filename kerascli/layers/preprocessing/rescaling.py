"""Rescaling: x * scale + offset."""

from torch import nn

from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.rescaling import Factor, RescalingModule, channels_fault
from kerascli.shapes import TensorSpec


@layer(
    Example(input=(8, 6, 3), output=(8, 6, 3), config={"scale": 2.0, "offset": -1.0}),
    Example(input=(8, 6, 3), output=(8, 6, 3), config={"scale": [2.0, 0.5, 1.0], "offset": [-1.0, 0.0, 0.5]}),
)
class Rescaling(Layer):
    """Multiplies and shifts every value: $(1/255) for images."""

    mask = "pass"

    scale: Factor
    """What values are multiplied by: a number, or one for each channel."""
    offset: Factor = 0.0
    """What is added after that: a number, or one for each channel."""

    def build(self, x: TensorSpec) -> nn.Module:
        for argument, value in (("scale", self.scale), ("offset", self.offset)):
            if fault := channels_fault(x.shape, value):
                raise ShapeMismatch(fault, argument=argument)
        return RescalingModule(self.scale, self.offset)
