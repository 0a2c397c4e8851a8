"""What the poolings share: windows, adaptive windows, and all of it at once."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from kerascli.layers.base import Layer
from kerascli.layers.geometry import Padding, Window, from_channels_first, spatial_shape, to_channels_first
from kerascli.shapes import DataFormat, Sizes, TensorSpec


class PoolingModule(nn.Module):
    """Rank 1 runs as rank 2 with a height of 1: the same kernels, in the fast memory format."""

    def __init__(self, rank: int, data_format: DataFormat) -> None:
        super().__init__()
        self.of_sequences = rank == 1
        self.data_format: DataFormat = data_format

    def forward(self, x: Tensor) -> Tensor:  # (N, *sizes, C) -> (N, *sizes, C), or channels first
        x = to_channels_first(x, self.data_format)
        y = self.pool(x.unsqueeze(2)).squeeze(2) if self.of_sequences else self.pool(x)
        return from_channels_first(y, self.data_format)

    @abstractmethod
    def pool(self, x: Tensor) -> Tensor:
        """Pool (N, C, *sizes) of at least two sizes."""


class Pooling(Layer):
    """Settings of a pooling over windows; `strides` null: the windows touch."""

    rank: ClassVar[int]
    module: ClassVar[type["WindowPoolingModule"]]

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


class WindowPoolingModule(PoolingModule):
    def __init__(self, window: Window, data_format: DataFormat) -> None:
        super().__init__(len(window.size), data_format)
        self.window = window.over_images()


class AdaptivePooling(Layer):
    """Settings of a pooling to a size; the windows follow from it."""

    rank: ClassVar[int]
    module: ClassVar[type["AdaptivePoolingModule"]]

    output_size: Sizes
    """How many windows there are along each axis."""
    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, self.rank, self.data_format)
        return self.module(self.output_size, self.data_format)


class AdaptivePoolingModule(PoolingModule):
    def __init__(self, output_size: tuple[int, ...], data_format: DataFormat) -> None:
        super().__init__(len(output_size), data_format)
        self.output_size: Any = (1, *output_size) if self.of_sequences else output_size


class GlobalPooling(Layer):
    """Settings of a pooling over all spatial axes."""

    rank: ClassVar[int]
    reduce: ClassVar[Literal["mean", "amax"]]

    data_format: DataFormat = "channels_last"
    keepdims: bool = False
    """Keep the axes that were reduced, with size 1."""

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
