"""Normalization: a layer that normalizes numbers by a given mean and variance."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.normalization import NormalizationModule, NormalizationSettings


@layer(
    Example(input=(3,), output=(3,), config={"mean": [1.0, 0.0, 2.0], "variance": [4.0, 1.0, 0.25]}),
    Example(input=(3,), output=(3,), config={"axis": None, "mean": 0.5, "variance": 2.0, "invert": True}),
    Example(input=(2, 3), output=(2, 3), config={"axis": 1, "mean": [1.0, 2.0], "variance": [1.0, 4.0]}),
)
class Normalization(NormalizationSettings, Layer):
    """Normalizes its input: (x - mean) / sqrt(variance), with a given mean and variance.

    Input and output: (N, *).
    """

    mask = "pass"

    def build(self, x: TensorSpec) -> nn.Module:
        if self.mean is None:
            hint = "give mean and variance, or put normalization into the input's pipeline under data"
            raise ShapeMismatch("a layer does not learn a mean from the data", hint=hint)
        try:
            mean, variance = self.fixed(x.shape)
        except ValueError as error:
            raise ShapeMismatch(str(error)) from None
        return NormalizationModule(mean, variance, invert=self.invert)
