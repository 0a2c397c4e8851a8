"""AveragePooling2D: the mean of each window."""

from kerascli.layers.base import Example, layer
from kerascli.layers.pooling.base import AveragePoolingModule, Pooling
from kerascli.shapes import Size2D


@layer(
    Example(input=(8, 8, 3), output=(4, 4, 3)),
    Example(input=(7, 8, 3), output=(4, 4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),
)
class AveragePooling2D(Pooling):
    """The mean of each window of an image; padding does not count."""

    rank = 2
    module = AveragePoolingModule

    pool_size: Size2D = (2, 2)
    strides: Size2D | None = None
