"""Rescaling: x * scale + offset."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.rescaling import RescalingModule, RescalingSettings


@layer(
    Example(input=(8, 6, 3), output=(8, 6, 3), config={"scale": 2.0, "offset": -1.0}),
    Example(input=(8, 6, 3), output=(8, 6, 3), config={"scale": [2.0, 0.5, 1.0], "offset": [-1.0, 0.0, 0.5]}),
)
class Rescaling(RescalingSettings, Layer):
    """Computes x * scale + offset: `$(1/255)` scales images of 0 to 255 to 0 to 1.

    Input and output: (N, *).
    """

    mask = "pass"

    def build(self, x: TensorSpec) -> nn.Module:
        if fault := self.fault(x.shape):
            raise ShapeMismatch(fault[0], argument=fault[1])
        return RescalingModule(self)
