"""DepthwiseConv1D, DepthwiseConv2D: convolutions of each channel with its own kernels."""

from typing import ClassVar

from torch import Tensor, nn

from kerascli.foundation.shapes import DataFormat, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.convolutional.base import (
    BaseConvolutionModule,
    DepthMultiplier,
    DepthwiseConstraint,
    DepthwiseInitializer,
    DepthwiseRegularizer,
    convolve,
    window_and_channels,
)
from kerascli.layers.geometry import (
    CausalPadding,
    DilationRate,
    KernelSize,
    Padding,
    Strides,
    Window,
    WindowArguments1D,
    WindowArguments2D,
)
from kerascli.parts import fields
from kerascli.parts.initializers import GlorotUniform, Zeros

DEPTHWISE_AXES = {1: (1, 2, 0), 2: (2, 3, 0, 1)}
"""Mapping from rank to the permutation of a kernel (*size, channels, multiplier) to (channels, multiplier, *size)."""


def grouped(kernel: Tensor) -> Tensor:
    """Reshape a depthwise kernel (channels, multiplier, *size) for torch's convolution with one group for each channel.

    The result is (channels * multiplier, 1, *size).
    """
    return kernel.flatten(0, 1).unsqueeze(1)


class DepthwiseConvolution(Layer):
    """Base class of depthwise_conv_1d and depthwise_conv_2d, which narrow the types of the sizes."""

    rank: ClassVar[int]

    kernel_size: KernelSize
    strides: Strides
    padding: Padding = "valid"
    depth_multiplier: DepthMultiplier = 1
    data_format: DataFormat = "channels_last"
    dilation_rate: DilationRate
    activation: fields.OutputActivation = None
    use_bias: fields.UseBias = True
    depthwise_initializer: DepthwiseInitializer = GlorotUniform()
    bias_initializer: fields.BiasInitializer = Zeros()
    depthwise_regularizer: DepthwiseRegularizer = None
    bias_regularizer: fields.BiasRegularizer = None
    activity_regularizer: fields.ActivityRegularizer = None
    depthwise_constraint: DepthwiseConstraint = None
    bias_constraint: fields.BiasConstraint = None

    def build(self, x: TensorSpec) -> nn.Module:
        return DepthwiseConvolutionModule(self, *window_and_channels(self, x))


class DepthwiseConvolutionModule(BaseConvolutionModule):
    kernel: Tensor

    def __init__(self, settings: DepthwiseConvolution, window: Window, channels: int) -> None:
        super().__init__(settings)
        self.window = window.at_least_2d()
        self.channels = channels
        kernel = (*window.size, channels, settings.depth_multiplier)
        self.add_weight_of(settings, "kernel", kernel, part="depthwise", axes=DEPTHWISE_AXES[settings.rank])
        self.add_weight_of(settings, "bias", (channels * kernel[-1],) if settings.use_bias else None)

    def convolve(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, C * multiplier, *sizes)
        return convolve(x, self.at_least_2d(grouped(self.kernel)), self.bias, self.window, self.channels)


@layer(
    Example(input=(10, 4), output=(8, 4), config={"kernel_size": 3}),
    Example(
        input=(10, 4), output=(5, 8), config={"kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2}
    ),
)
class DepthwiseConv1D(WindowArguments1D, DepthwiseConvolution):
    """Depthwise 1D convolution: convolves each channel of a sequence with `depth_multiplier` kernels of its own.

    Input: (N, T, C). Output: (N, T', C * depth_multiplier). With `data_format: channels_first` the channels are axis 1.
    With `padding: causal` no output depends on later steps.
    """

    padding: CausalPadding = "valid"  # pyright: ignore[reportIncompatibleVariableOverride]


@layer(
    Example(input=(8, 8, 3), output=(6, 6, 3), config={"kernel_size": 3}),
    Example(
        input=(8, 7, 3),
        output=(4, 4, 6),
        config={"kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2},
    ),
)
class DepthwiseConv2D(WindowArguments2D, DepthwiseConvolution):
    """Depthwise 2D convolution: convolves each channel of an image with `depth_multiplier` kernels of its own.

    Input: (N, H, W, C). Output: (N, H', W', C * depth_multiplier). With `data_format: channels_first` the channels are
    axis 1.
    """
