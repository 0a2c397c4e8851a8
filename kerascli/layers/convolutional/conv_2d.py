"""Conv2D: filters that slide over images."""

from kerascli.layers.base import Example, layer
from kerascli.layers.convolutional.base import Convolution
from kerascli.shapes import Size2D


@layer(
    Example(input=(28, 28, 1), output=(26, 26, 8), config={"filters": 8, "kernel_size": 3, "activation": "relu"}),
    Example(
        input=(8, 7, 4),
        output=(4, 3, 6),
        config={"filters": 6, "kernel_size": [4, 3], "strides": [2, 3], "padding": "same", "groups": 2},
    ),
    Example(
        input=(3, 8, 8),
        output=(2, 4, 4),
        config={"filters": 2, "kernel_size": 3, "dilation_rate": 2, "data_format": "channels_first"},
    ),
)
class Conv2D(Convolution):
    """Convolves images with `filters` kernels and adds a bias."""

    rank = 2

    kernel_size: Size2D
    strides: Size2D = (1, 1)
    dilation_rate: Size2D = (1, 1)
