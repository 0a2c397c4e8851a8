"""AveragePooling1D, MaxPooling1D ... MaxPooling3D: mean or maximum of each window."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, Size1D, Size2D, Size3D, Sizes, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import Padding, Window, spatial_shape, with_channels_first
from kerascli.preprocessing.function import Function


def _average(x: Tensor, window: Window) -> Tensor:  # (N, C, *sizes) -> (N, C, *sizes)
    """Return the mean of each window; padding is excluded."""
    average = F.avg_pool2d if x.ndim == 4 else F.avg_pool3d
    y, padding = window.padded(x)
    means = average(y, window.size, window.strides, padding, count_include_pad=False)
    if y is x:
        return means
    return means / average(window.padded(torch.ones_like(x[:1, :1]))[0], window.size, window.strides)


def _largest(x: Tensor, window: Window) -> Tensor:  # (N, C, *sizes) -> (N, C, *sizes)
    """Return the maximum of each window."""
    x, padding = window.padded(x, -torch.inf)
    return (F.max_pool2d if x.ndim == 4 else F.max_pool3d)(x, window.size, window.strides, padding)


class Pooling(Layer):
    """Base class of layers that pool over sliding windows, which do not overlap if `strides` is null."""

    rank: ClassVar[int]
    pool: ClassVar[Callable[[Tensor, Window], Tensor]]

    pool_size: Sizes
    """Size of the window along each spatial axis; one integer: the same for all."""
    strides: Sizes | None = None
    """Stride of the window along each spatial axis; null: pool_size, so that windows do not overlap."""
    padding: Padding = "valid"
    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        sizes, _ = spatial_shape(x, self.rank, self.data_format)
        window = Window(self.pool_size, self.strides or self.pool_size, self.padding, (1,) * self.rank)
        window.check(sizes)
        pool, wide = type(self).pool, window.at_least_2d()
        return Function(with_channels_first, lambda x: pool(x, wide), self.rank, self.data_format)


class Pooling1D(Pooling):
    """Base class of layers that pool sequences over sliding windows."""

    rank = 1
    examples = (Example(input=(8, 3), output=(4, 3)),)

    pool_size: Size1D = (2,)
    strides: Size1D | None = None


class Pooling2D(Pooling):
    """Base class of layers that pool images over sliding windows."""

    rank = 2
    examples = (Example(input=(8, 8, 3), output=(4, 4, 3)),)

    pool_size: Size2D = (2, 2)
    strides: Size2D | None = None


class Pooling3D(Pooling):
    """Base class of layers that pool volumes over sliding windows."""

    rank = 3
    examples = (Example(input=(4, 6, 8, 2), output=(2, 3, 4, 2)),)

    pool_size: Size3D = (2, 2, 2)
    strides: Size3D | None = None


class AveragePooling(Pooling):
    """Base class of layers that average over windows."""

    pool = staticmethod(_average)


class MaxPooling(Pooling):
    """Base class of layers that take the maximum of windows."""

    pool = staticmethod(_largest)


@layer(aliases=("avg_pool_1d",))
class AveragePooling1D(Pooling1D, AveragePooling):
    """Average pooling of sequences: the mean of each window; padding is excluded.

    Input: (N, T, C). Output: (N, T', C). With `data_format: channels_first`: (N, C, T) and (N, C, T').
    """


@layer(aliases=("avg_pool_2d",))
class AveragePooling2D(Pooling2D, AveragePooling):
    """Average pooling of images: the mean of each window; padding is excluded.

    Input: (N, H, W, C). Output: (N, H', W', C). With `data_format: channels_first`: (N, C, H, W) and (N, C, H', W').
    """


@layer(aliases=("avg_pool_3d",))
class AveragePooling3D(Pooling3D, AveragePooling):
    """Average pooling of volumes: the mean of each window; padding is excluded.

    Input: (N, D, H, W, C). Output: (N, D', H', W', C). With `data_format: channels_first`: (N, C, D, H, W) and (N, C,
    D', H', W').
    """


@layer(aliases=("max_pool_1d",))
class MaxPooling1D(Pooling1D, MaxPooling):
    """Max pooling of sequences: the maximum of each window.

    Input: (N, T, C). Output: (N, T', C). With `data_format: channels_first`: (N, C, T) and (N, C, T').
    """


@layer(aliases=("max_pool_2d",))
class MaxPooling2D(Pooling2D, MaxPooling):
    """Max pooling of images: the maximum of each window.

    Input: (N, H, W, C). Output: (N, H', W', C). With `data_format: channels_first`: (N, C, H, W) and (N, C, H', W').
    """


@layer(aliases=("max_pool_3d",))
class MaxPooling3D(Pooling3D, MaxPooling):
    """Max pooling of volumes: the maximum of each window.

    Input: (N, D, H, W, C). Output: (N, D', H', W', C). With `data_format: channels_first`: (N, C, D, H, W) and (N, C,
    D', H', W').
    """
