"""What the poolings share: windows, padding, and the global kinds."""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.layers.base import Layer
from kerascli.layers.geometry import Window, even, flat, from_channels_first, spatial_shape, to_channels_first
from kerascli.shapes import DataFormat, Sizes, TensorSpec


class Pooling(Layer):
    """Settings of a pooling over windows; `strides` null: the windows touch."""

    rank: ClassVar[int]
    module: ClassVar[type["PoolingModule"]]

    pool_size: Sizes
    strides: Sizes | None = None
    padding: Literal["valid", "same"] = "valid"
    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        sizes, _ = spatial_shape(x, self.rank, self.data_format)
        window = Window(self.pool_size, self.strides or self.pool_size, self.padding, (1,) * self.rank)
        window.check(sizes)
        return self.module(window, self.data_format)


class PoolingModule(nn.Module):
    def __init__(self, window: Window, data_format: DataFormat) -> None:
        super().__init__()
        self.window = window
        self.data_format: DataFormat = data_format

    def forward(self, x: Tensor) -> Tensor:  # (N, *sizes, C) -> (N, *sizes, C), or channels first
        return from_channels_first(self.pool(to_channels_first(x, self.data_format)), self.data_format)

    @abstractmethod
    def pool(self, x: Tensor) -> Tensor:
        """Pool (N, C, *sizes)."""


_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class MaxPoolingModule(PoolingModule):
    def pool(self, x: Tensor) -> Tensor:
        window, pads = self.window, self.window.pads(tuple(x.shape[2:]))
        padding = even(pads)
        if padding is None:
            x, padding = F.pad(x, flat(pads), value=-torch.inf), 0
        return _MAX[len(pads)](x, window.size, window.strides, padding)


class AveragePoolingModule(PoolingModule):
    """What is padded does not count."""

    def pool(self, x: Tensor) -> Tensor:
        window, pads = self.window, self.window.pads(tuple(x.shape[2:]))
        average = _AVERAGE[len(pads)]
        padding = even(pads)
        if padding is not None:
            return average(x, window.size, window.strides, padding, count_include_pad=False)
        share = average(F.pad(torch.ones_like(x[:1, :1]), flat(pads)), window.size, window.strides)
        return average(F.pad(x, flat(pads)), window.size, window.strides) / share


class GlobalPooling(Layer):
    """Settings of a pooling over all spatial axes."""

    rank: ClassVar[int]
    reduce: ClassVar[Literal["mean", "amax"]]

    data_format: DataFormat = "channels_last"
    keepdims: bool = False

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, self.rank, self.data_format)
        first = 1 if self.data_format == "channels_last" else 2
        return GlobalPoolingModule(self.reduce, tuple(range(first, first + self.rank)), self.keepdims)


class GlobalPoolingModule(nn.Module):
    def __init__(self, reduce: Literal["mean", "amax"], axes: tuple[int, ...], keepdims: bool) -> None:
        super().__init__()
        self.reduce = torch.mean if reduce == "mean" else torch.amax
        self.axes = axes
        self.keepdims = keepdims

    def forward(self, x: Tensor) -> Tensor:  # (N, *sizes, C) -> (N, C), or channels first
        return self.reduce(x, self.axes, keepdim=self.keepdims)
