"""MaxPooling2D: the largest value in each window."""

from kerascli.layers.base import Example, layer
from kerascli.layers.pooling.base import MaxPoolingModule, Pooling
from kerascli.shapes import Size2D


@layer(
    Example(input=(8, 8, 3), output=(4, 4, 3)),
    Example(input=(7, 8, 3), output=(4, 4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),
)
class MaxPooling2D(Pooling):
    """The largest value in each window of an image."""

    rank = 2
    module = MaxPoolingModule

    pool_size: Size2D = (2, 2)
    strides: Size2D | None = None
