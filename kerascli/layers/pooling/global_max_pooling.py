"""GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D: the largest value of each channel."""

from kerascli.layers.base import Example, layer
from kerascli.layers.pooling.base import GlobalPooling


@layer(
    Example(input=(8, 3), output=(3,)),
    Example(input=(3, 8), output=(3, 1), config={"data_format": "channels_first", "keepdims": True}),
    aliases=("global_max_pool_1d",),
)
class GlobalMaxPooling1D(GlobalPooling):
    """The largest value of each channel of a sequence."""

    rank = 1
    reduce = "amax"


@layer(
    Example(input=(8, 8, 3), output=(3,)),
    Example(input=(3, 8, 8), output=(3, 1, 1), config={"data_format": "channels_first", "keepdims": True}),
    aliases=("global_max_pool_2d",),
)
class GlobalMaxPooling2D(GlobalPooling):
    """The largest value of each channel of an image."""

    rank = 2
    reduce = "amax"


@layer(
    Example(input=(4, 5, 6, 2), output=(2,)),
    Example(input=(2, 4, 5, 6), output=(2, 1, 1, 1), config={"data_format": "channels_first", "keepdims": True}),
    aliases=("global_max_pool_3d",),
)
class GlobalMaxPooling3D(GlobalPooling):
    """The largest value of each channel of a volume."""

    rank = 3
    reduce = "amax"
