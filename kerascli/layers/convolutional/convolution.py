"""Conv1D, Conv2D, Conv3D: convolutions of sequences, images and volumes."""

from typing import Self

from pydantic import model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import DataFormat, PositiveInt, TensorSpec
from kerascli.layers.base import Example, ShapeMismatch, layer
from kerascli.layers.convolutional.base import (
    KERNEL_AXES,
    BaseConvolutionModule,
    FilterArguments,
    convolve,
    window_and_channels,
)
from kerascli.layers.geometry import (
    CausalPadding,
    DilationRate,
    Window,
    WindowArguments1D,
    WindowArguments2D,
    WindowArguments3D,
)
from kerascli.layers.kernels import KernelAndBias
from kerascli.layers.lora import LowRank, LowRankModule
from kerascli.parts import fields


class ConvolutionArguments(FilterArguments):
    """Mixin with the first arguments of a convolution layer, in Keras's order: those before `kernel_initializer`."""

    data_format: DataFormat = "channels_last"
    dilation_rate: DilationRate
    groups: PositiveInt = 1
    """Number of groups into which the channels are split; each has its own filters, an equal part of all filters."""
    activation: fields.OutputActivation = None
    use_bias: fields.UseBias = True


class Convolution(LowRank, KernelAndBias, ConvolutionArguments):
    """Base class of conv_1d, conv_2d and conv_3d, which narrow the types of the sizes."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.filters % self.groups:
            raise ValueError(f"filters ({self.filters}) must be a multiple of groups ({self.groups})")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError("strides and dilation_rate cannot both be above 1")
        return self

    def build(self, x: TensorSpec) -> nn.Module:
        window, channels = window_and_channels(self, x)
        if channels % self.groups:
            raise ShapeMismatch(
                f"has {self.groups} groups, which do not divide the {channels} channels of {x}", argument="groups"
            )
        return ConvolutionModule(self, window, channels)


class ConvolutionModule(LowRankModule, BaseConvolutionModule):
    def __init__(self, settings: Convolution, window: Window, channels: int) -> None:
        super().__init__(settings)
        self.window = window.at_least_2d()
        self.groups = settings.groups
        kernel = (*window.size, channels // settings.groups, settings.filters)
        self.add_weight_of(settings, "kernel", kernel, axes=KERNEL_AXES[settings.rank])
        self.add_weight_of(settings, "bias", (settings.filters,) if settings.use_bias else None)
        self.add_lora(settings, "kernel")

    def convolve(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, filters, *sizes)
        return convolve(x, self.at_least_2d(self.adapted("kernel")), self.bias, self.window, self.groups)


@layer(Example(input=(10, 4), output=(8, 6), config={"filters": 6, "kernel_size": 3}), aliases=("convolution_1d",))
class Conv1D(WindowArguments1D, Convolution):
    """1D convolution of sequences with `filters` learned kernels, then a bias and an activation.

    Input: (N, T, C). Output: (N, T', filters). With `data_format: channels_first`: (N, C, T) and (N, filters, T'). With
    `padding: causal` no output depends on later steps.
    """

    padding: CausalPadding = "valid"  # pyright: ignore[reportIncompatibleVariableOverride]


@layer(
    Example(input=(28, 28, 1), output=(26, 26, 8), config={"filters": 8, "kernel_size": 3, "activation": "relu"}),
    aliases=("convolution_2d",),
)
class Conv2D(WindowArguments2D, Convolution):
    """2D convolution of images with `filters` learned kernels, then a bias and an activation.

    Input: (N, H, W, C). Output: (N, H', W', filters). With `data_format: channels_first`: (N, C, H, W) and (N, filters,
    H', W').
    """


@layer(
    Example(input=(8, 8, 8, 1), output=(6, 6, 6, 4), config={"filters": 4, "kernel_size": 3}),
    aliases=("convolution_3d",),
)
class Conv3D(WindowArguments3D, Convolution):
    """3D convolution of volumes, or of images over time, with `filters` learned kernels, then a bias and an activation.

    Input: (N, D, H, W, C). Output: (N, D', H', W', filters). With `data_format: channels_first`: (N, C, D, H, W) and
    (N, filters, D', H', W').
    """
