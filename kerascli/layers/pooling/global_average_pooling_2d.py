"""GlobalAveragePooling2D: the mean value of each channel."""

from kerascli.layers.base import Example, layer
from kerascli.layers.pooling.base import GlobalPooling


@layer(
    Example(input=(8, 8, 3), output=(3,)),
    Example(input=(3, 8, 8), output=(3, 1, 1), config={"data_format": "channels_first", "keepdims": True}),
)
class GlobalAveragePooling2D(GlobalPooling):
    """The mean value of each channel of an image."""

    rank = 2
    reduce = "mean"
