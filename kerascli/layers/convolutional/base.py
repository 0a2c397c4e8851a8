"""Base classes of convolutional layers: a sliding window over (N, C, *sizes), then a bias and an activation."""

from abc import abstractmethod
from typing import ClassVar, Protocol

from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, PositiveInt, Shape, TensorSpec
from kerascli.layers.base import Layer, ShapeMismatch, WeightedModule
from kerascli.layers.geometry import (
    DilationRate,
    KernelSize,
    Padding,
    Strides,
    Window,
    pad_order,
    spatial_shape,
    symmetric_padding,
    with_channels_first,
)
from kerascli.parts.base import Activation

KERNEL_AXES = {1: (2, 1, 0), 2: (3, 2, 0, 1), 3: (4, 3, 0, 1, 2)}
"""Mapping from rank to the permutation of a kernel's axes from Keras's (*size, in, filters) to (filters, in, *size)."""
_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class FilterArguments(Layer):
    """Mixin with the first arguments of convolutional layers; subclasses for 1D, 2D and 3D narrow the sizes' types."""

    rank: ClassVar[int]

    filters: PositiveInt
    """Number of filters (output channels)."""
    kernel_size: KernelSize
    strides: Strides
    padding: Padding = "valid"


class ConvolutionSettings(Protocol):
    """Base class of all convolution layers, with the settings that they share."""

    rank: ClassVar[int]
    kernel_size: KernelSize
    strides: Strides
    padding: Padding
    data_format: DataFormat
    dilation_rate: DilationRate
    activation: Activation | None


def window_and_channels(settings: ConvolutionSettings, x: TensorSpec) -> tuple[Window, int]:
    """Return a convolution's window and the number of channels of `x`; raises ShapeMismatch for an unsuitable `x`."""
    window = Window(settings.kernel_size, settings.strides, settings.padding, settings.dilation_rate)
    sizes, channels = sizes_and_channels(x, settings.rank, settings.data_format)
    window.check(sizes)
    return window, channels


def sizes_and_channels(x: TensorSpec, rank: int, data_format: DataFormat) -> tuple[Shape, int]:
    """Return the spatial sizes of `x` and its number of channels, which must be known; raises ShapeMismatch."""
    sizes, channels = spatial_shape(x, rank, data_format)
    if channels is None:
        raise ShapeMismatch(f"needs a known number of channels, got {x}")
    return sizes, channels


class BaseConvolutionModule(WeightedModule):
    """Base class of convolution modules; sequences run as images of height 1, for torch's channels_last kernels."""

    bias: Tensor | None

    def __init__(self, settings: ConvolutionSettings) -> None:
        super().__init__()
        self.rank = settings.rank
        self.data_format: DataFormat = settings.data_format
        self.activation = settings.activation

    def forward(self, x: Tensor) -> Tensor:  # (N, *sizes, C) -> (N, *sizes, filters), or channels first
        y = with_channels_first(self.convolve, x, self.rank, self.data_format)
        return y if self.activation is None else self.activation(y)

    @abstractmethod
    def convolve(self, x: Tensor) -> Tensor:
        """Convolve (N, C, *sizes), of at least two sizes, to (N, filters, *sizes), bias included."""

    def at_least_2d(self, kernel: Tensor) -> Tensor:
        """Return a kernel (torch's layout) with two or more spatial axes: 1D convolutions get a height of 1."""
        return kernel.unsqueeze(2) if self.rank == 1 else kernel


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, window: Window, groups: int = 1) -> Tensor:
    """Convolve (N, C, *sizes) with a kernel (filters, C / groups, *size) to (N, filters, *sizes)."""
    pads = window.pads(tuple(x.shape[2:]))
    padding = symmetric_padding(pads)
    if padding is None:
        x, padding = F.pad(x, pad_order(pads)), 0
    return _CONVOLVE[len(pads)](x, kernel, bias, window.strides, padding, window.dilation, groups)
