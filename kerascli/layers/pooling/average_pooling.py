"""AveragePooling1D, AveragePooling2D, AveragePooling3D: the mean of each window."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.layers.base import Example, layer
from kerascli.layers.geometry import even, flat
from kerascli.layers.pooling.base import Pooling, WindowPoolingModule
from kerascli.shapes import Size1D, Size2D, Size3D


class AveragePoolingModule(WindowPoolingModule):
    """What is padded does not count."""

    def pool(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, C, *sizes)
        window, pads = self.window, self.window.pads(tuple(x.shape[2:]))
        average = F.avg_pool2d if x.ndim == 4 else F.avg_pool3d
        padding = even(pads)
        if padding is not None:
            return average(x, window.size, window.strides, padding, count_include_pad=False)
        share = average(F.pad(torch.ones_like(x[:1, :1]), flat(pads)), window.size, window.strides)
        return average(F.pad(x, flat(pads)), window.size, window.strides) / share


@layer(
    Example(input=(8, 3), output=(4, 3)),
    Example(input=(7, 3), output=(4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    aliases=("avg_pool_1d",),
)
class AveragePooling1D(Pooling):
    """The mean of each window of a sequence; padding does not count."""

    rank = 1
    module = AveragePoolingModule

    pool_size: Size1D = (2,)
    strides: Size1D | None = None


@layer(
    Example(input=(8, 8, 3), output=(4, 4, 3)),
    Example(input=(7, 8, 3), output=(4, 4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    aliases=("avg_pool_2d",),
)
class AveragePooling2D(Pooling):
    """The mean of each window of an image; padding does not count."""

    rank = 2
    module = AveragePoolingModule

    pool_size: Size2D = (2, 2)
    strides: Size2D | None = None


@layer(
    Example(input=(4, 6, 8, 2), output=(2, 3, 4, 2)),
    Example(input=(4, 5, 6, 2), output=(2, 3, 3, 2), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    aliases=("avg_pool_3d",),
)
class AveragePooling3D(Pooling):
    """The mean of each window of a volume; padding does not count."""

    rank = 3
    module = AveragePoolingModule

    pool_size: Size3D = (2, 2, 2)
    strides: Size3D | None = None
