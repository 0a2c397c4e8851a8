"""MaxPooling1D, MaxPooling2D, MaxPooling3D: the largest value in each window."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.layers.base import Example, layer
from kerascli.layers.geometry import even, flat
from kerascli.layers.pooling.base import Pooling, WindowPoolingModule
from kerascli.shapes import Size1D, Size2D, Size3D


class MaxPoolingModule(WindowPoolingModule):
    def pool(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, C, *sizes)
        window, pads = self.window, self.window.pads(tuple(x.shape[2:]))
        padding = even(pads)
        if padding is None:
            x, padding = F.pad(x, flat(pads), value=-torch.inf), 0
        largest = F.max_pool2d if x.ndim == 4 else F.max_pool3d
        return largest(x, window.size, window.strides, padding)


@layer(
    Example(input=(8, 3), output=(4, 3)),
    Example(input=(7, 3), output=(4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    aliases=("max_pool_1d",),
)
class MaxPooling1D(Pooling):
    """The largest value in each window of a sequence."""

    rank = 1
    module = MaxPoolingModule

    pool_size: Size1D = (2,)
    strides: Size1D | None = None


@layer(
    Example(input=(8, 8, 3), output=(4, 4, 3)),
    Example(input=(7, 8, 3), output=(4, 4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    aliases=("max_pool_2d",),
)
class MaxPooling2D(Pooling):
    """The largest value in each window of an image."""

    rank = 2
    module = MaxPoolingModule

    pool_size: Size2D = (2, 2)
    strides: Size2D | None = None


@layer(
    Example(input=(4, 6, 8, 2), output=(2, 3, 4, 2)),
    Example(input=(4, 5, 6, 2), output=(2, 3, 3, 2), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    aliases=("max_pool_3d",),
)
class MaxPooling3D(Pooling):
    """The largest value in each window of a volume."""

    rank = 3
    module = MaxPoolingModule

    pool_size: Size3D = (2, 2, 2)
    strides: Size3D | None = None
