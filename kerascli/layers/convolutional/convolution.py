"""Conv1D, Conv2D, Conv3D: convolutions of sequences, images and volumes."""

from abc import abstractmethod
from typing import Self

from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, PositiveInt, TensorSpec
from kerascli.layers import geometry
from kerascli.layers.base import Example, Layer, WeightedModule, layer
from kerascli.layers.geometry import Window, WindowArguments
from kerascli.layers.kernels import KernelAndBias, OutputArguments
from kerascli.layers.lora import LowRank, LowRankModule

KERNEL_AXES = {1: (2, 1, 0), 2: (3, 2, 0, 1), 3: (4, 3, 0, 1, 2)}
"""Mapping from rank to the permutation of a kernel's axes from Keras's (*size, in, filters) to (filters, in, *size)."""
_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class FilterArgument(Layer):
    """Mixin with the argument `filters`, the first of most convolutional layers."""

    filters: PositiveInt
    """Number of filters (output channels)."""


class FilterArguments(WindowArguments, FilterArgument):
    """Mixin with the first arguments of convolutional layers."""


class StridedOrDilated(FilterArguments):
    """Base class of layers whose window is either strided or dilated."""

    @model_validator(mode="after")
    def _strided_or_dilated(self) -> Self:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError("strides and dilation_rate cannot both be above 1")
        return self


class BaseConvolutionModule(WeightedModule):
    """Base class of convolution modules; sequences run as images of height 1, for torch's channels_last kernels."""

    bias: Tensor | None

    def __init__(self, settings: WindowArguments, window: Window) -> None:
        super().__init__(settings)
        self.window = window.at_least_2d()

    def forward(self, x: Tensor) -> Tensor:  # (N, *sizes, C) -> (N, *sizes, filters), or channels first
        y = geometry.with_channels_first(x, self.convolve, self.settings.rank, self.settings.data_format)
        return y if self.settings.activation is None else self.settings.activation(y)

    @abstractmethod
    def convolve(self, x: Tensor) -> Tensor:
        """Convolve (N, C, *sizes), of at least two sizes, to (N, filters, *sizes), bias included."""

    def at_least_2d(self, kernel: Tensor) -> Tensor:
        """Return a kernel (torch's layout) with two or more spatial axes: 1D convolutions get a height of 1."""
        return kernel.unsqueeze(2) if self.settings.rank == 1 else kernel


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, window: Window, groups: int = 1) -> Tensor:
    """Convolve (N, C, *sizes) with a kernel (filters, C / groups, *size) to (N, filters, *sizes)."""
    x, padding = window.padded(x)
    return _CONVOLVE[x.ndim - 2](x, kernel, bias, window.strides, padding, window.dilation, groups)


class ConvolutionArguments(StridedOrDilated):
    """Mixin with the first arguments of a convolution layer, in Keras's order: those before `activation`."""

    data_format: DataFormat = "channels_last"
    dilation_rate: geometry.DilationRate
    groups: PositiveInt = 1
    """Number of groups into which the channels are split; each has its own filters, an equal part of all filters."""


class Convolution(LowRank, KernelAndBias, OutputArguments, ConvolutionArguments):
    """Base class of conv_1d, conv_2d and conv_3d, which narrow the types of the sizes."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.filters % self.groups:
            raise ValueError(f"filters ({self.filters}) must be a multiple of groups ({self.groups})")
        return self

    def build(self, x: TensorSpec) -> nn.Module:
        window, channels = self.window_and_channels(x)
        geometry.check_groups(self.groups, channels, x)
        return ConvolutionModule(self, window, channels)


class ConvolutionModule(LowRankModule, BaseConvolutionModule):
    def __init__(self, settings: Convolution, window: Window, channels: int) -> None:
        super().__init__(settings, window)
        kernel = (*window.size, channels // settings.groups, settings.filters)
        self.add_weight_of("kernel", kernel, axes=KERNEL_AXES[settings.rank])
        self.add_weight_of("bias", (settings.filters,) if settings.use_bias else None)
        self.add_lora("kernel")

    def convolve(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, filters, *sizes)
        return convolve(x, self.at_least_2d(self.adapted("kernel")), self.bias, self.window, self.settings.groups)


@layer(Example(input=(10, 4), output=(8, 6), config={"filters": 6, "kernel_size": 3}), aliases=("convolution_1d",))
class Conv1D(geometry.WindowArguments1D, Convolution):
    """1D convolution of sequences with `filters` learned kernels, then a bias and an activation.

    Input: (N, T, C). Output: (N, T', filters). With `data_format: channels_first`: (N, C, T) and (N, filters, T'). With
    `padding: causal` no output depends on later steps.
    """

    padding: geometry.CausalPadding = "valid"  # pyright: ignore[reportIncompatibleVariableOverride]


@layer(
    Example(input=(28, 28, 1), output=(26, 26, 8), config={"filters": 8, "kernel_size": 3, "activation": "relu"}),
    aliases=("convolution_2d",),
)
class Conv2D(geometry.WindowArguments2D, Convolution):
    """2D convolution of images with `filters` learned kernels, then a bias and an activation.

    Input: (N, H, W, C). Output: (N, H', W', filters). With `data_format: channels_first`: (N, C, H, W) and (N, filters,
    H', W').
    """


@layer(
    Example(input=(8, 8, 8, 1), output=(6, 6, 6, 4), config={"filters": 4, "kernel_size": 3}),
    aliases=("convolution_3d",),
)
class Conv3D(geometry.WindowArguments3D, Convolution):
    """3D convolution of volumes, or of images over time, with `filters` learned kernels, then a bias and an activation.

    Input: (N, D, H, W, C). Output: (N, D', H', W', filters). With `data_format: channels_first`: (N, C, D, H, W) and
    (N, filters, D', H', W').
    """
