"""AveragePooling1D, MaxPooling1D ... MaxPooling3D: the mean of each window, or the largest value in it."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import Padding, Window, even, flat, spatial_shape
from kerascli.layers.pooling.base import PoolingModule
from kerascli.shapes import DataFormat, Size1D, Size2D, Size3D, Sizes, TensorSpec


class WindowPoolingModule(PoolingModule):
    def __init__(self, window: Window, data_format: DataFormat) -> None:
        super().__init__(len(window.size), data_format)
        self.window = window.over_images()


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


class MaxPoolingModule(WindowPoolingModule):
    def pool(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, C, *sizes)
        window, pads = self.window, self.window.pads(tuple(x.shape[2:]))
        padding = even(pads)
        if padding is None:
            x, padding = F.pad(x, flat(pads), value=-torch.inf), 0
        largest = F.max_pool2d if x.ndim == 4 else F.max_pool3d
        return largest(x, window.size, window.strides, padding)


class Pooling(Layer):
    """Settings of a pooling over windows; `strides` null: the windows touch."""

    rank: ClassVar[int]
    module: ClassVar[type[WindowPoolingModule]]

    pool_size: Sizes
    """The size of the window."""
    strides: Sizes | None = None
    """How far the window moves; null: by its size."""
    padding: Padding = "valid"
    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        sizes, _ = spatial_shape(x, self.rank, self.data_format)
        window = Window(self.pool_size, self.strides or self.pool_size, self.padding, (1,) * self.rank)
        window.check(sizes)
        return self.module(window, self.data_format)


class Pooling1D(Pooling):
    """Settings of a pooling of sequences."""

    rank = 1
    examples = (
        Example(input=(8, 3), output=(4, 3)),
        Example(input=(7, 3), output=(4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    )

    pool_size: Size1D = (2,)
    strides: Size1D | None = None


class Pooling2D(Pooling):
    """Settings of a pooling of images."""

    rank = 2
    examples = (
        Example(input=(8, 8, 3), output=(4, 4, 3)),
        Example(input=(7, 8, 3), output=(4, 4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    )

    pool_size: Size2D = (2, 2)
    strides: Size2D | None = None


class Pooling3D(Pooling):
    """Settings of a pooling of volumes."""

    rank = 3
    examples = (
        Example(input=(4, 6, 8, 2), output=(2, 3, 4, 2)),
        Example(input=(4, 5, 6, 2), output=(2, 3, 3, 2), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    )

    pool_size: Size3D = (2, 2, 2)
    strides: Size3D | None = None


@layer(aliases=("avg_pool_1d",))
class AveragePooling1D(Pooling1D):
    """The mean of each window of a sequence; padding does not count."""

    module = AveragePoolingModule


@layer(aliases=("avg_pool_2d",))
class AveragePooling2D(Pooling2D):
    """The mean of each window of an image; padding does not count."""

    module = AveragePoolingModule


@layer(aliases=("avg_pool_3d",))
class AveragePooling3D(Pooling3D):
    """The mean of each window of a volume; padding does not count."""

    module = AveragePoolingModule


@layer(aliases=("max_pool_1d",))
class MaxPooling1D(Pooling1D):
    """The largest value in each window of a sequence."""

    module = MaxPoolingModule


@layer(aliases=("max_pool_2d",))
class MaxPooling2D(Pooling2D):
    """The largest value in each window of an image."""

    module = MaxPoolingModule


@layer(aliases=("max_pool_3d",))
class MaxPooling3D(Pooling3D):
    """The largest value in each window of a volume."""

    module = MaxPoolingModule
