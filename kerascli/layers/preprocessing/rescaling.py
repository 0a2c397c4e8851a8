"""Rescaling: x * scale + offset."""

from torch import nn

from kerascli.layers.base import Example, Layer, layer
from kerascli.preprocessing.rescaling import RescalingModule
from kerascli.shapes import TensorSpec


@layer(Example(input=(8, 6, 3), output=(8, 6, 3), config={"scale": 2.0, "offset": -1.0}))
class Rescaling(Layer):
    """Multiplies and shifts every value: $(1/255) for images."""

    mask = "pass"

    scale: float
    """What values are multiplied by."""
    offset: float = 0.0
    """What is added after that."""

    def build(self, x: TensorSpec) -> nn.Module:
        return RescalingModule(self.scale, self.offset)
