"""GlobalMaxPooling2D: the largest value of each channel."""

from kerascli.layers.base import Example, layer
from kerascli.layers.pooling.base import GlobalPooling


@layer(
    Example(input=(8, 8, 3), output=(3,)),
    Example(input=(3, 8, 8), output=(3, 1, 1), config={"data_format": "channels_first", "keepdims": True}),
)
class GlobalMaxPooling2D(GlobalPooling):
    """The largest value of each channel of an image."""

    rank = 2
    reduce = "amax"
