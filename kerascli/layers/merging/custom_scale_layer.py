"""CustomScaleLayer: a shortcut plus a scaled residual branch (Szegedy et al., 2016)."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, MergeLayer, ShapeMismatch, layer
from kerascli.layers.merging.base import check_count, check_shapes
from kerascli.preprocessing.function import Function


@layer(Example(input=[(4, 4, 3), (4, 4, 3)], output=(4, 4, 3), config={"scale": 0.2}))
class CustomScaleLayer(MergeLayer):
    """Adds the second of two inputs, multiplied by `scale`, to the first: first + scale * second.

    Inputs: two of equal rank, (N, *). Output: (N, *). Keras keeps this layer in `keras.applications`, as a part of
    InceptionResNetV2 (Szegedy et al., 2016).
    """

    scale: float
    """Factor of the second input."""

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_count(xs, 2)
        check_shapes(xs)
        if xs[0].rank != xs[1].rank:
            raise ShapeMismatch(f"needs inputs with equal numbers of axes, got {xs[0]} and {xs[1]}")
        return Function(lambda a, b: a + b * self.scale)
