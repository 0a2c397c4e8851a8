"""Depthwise convolutions of each channel with its own kernels, and separable ones, followed by a pointwise one."""

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, PositiveInt, TensorSpec
from kerascli.layers import geometry
from kerascli.layers.base import Example, layer
from kerascli.layers.convolutional.convolution import KERNEL_AXES, BaseConvolutionModule, FilterArguments, convolve
from kerascli.layers.geometry import Window
from kerascli.parts import fields
from kerascli.parts.initializers import GlorotUniform, Zeros

_DEPTHWISE_AXES = {1: (1, 2, 0), 2: (2, 3, 0, 1)}
"""Mapping from rank to the permutation of a kernel (*size, channels, multiplier) to (channels, multiplier, *size)."""


def _grouped(kernel: Tensor) -> Tensor:
    """Reshape a depthwise kernel (channels, multiplier, *size) for torch's convolution with one group for each channel.

    The result is (channels * multiplier, 1, *size).
    """
    return kernel.flatten(0, 1).unsqueeze(1)


class DepthwiseConvolution(geometry.WindowArguments):
    """Base class of depthwise_conv_1d and depthwise_conv_2d, which narrow the types of the sizes."""

    depth_multiplier: PositiveInt = 1
    """Number of depthwise output channels for each input channel."""
    data_format: DataFormat = "channels_last"
    dilation_rate: geometry.DilationRate
    activation: fields.OutputActivation = None
    use_bias: fields.UseBias = True
    depthwise_initializer: fields.InitializerField = GlorotUniform()
    """Initializer of the depthwise kernel."""
    bias_initializer: fields.BiasInitializer = Zeros()
    depthwise_regularizer: fields.RegularizerField | None = None
    """Regularizer of the depthwise kernel, a penalty added to the loss."""
    bias_regularizer: fields.BiasRegularizer = None
    activity_regularizer: fields.ActivityRegularizer = None
    depthwise_constraint: fields.ConstraintField | None = None
    """Constraint applied to the depthwise kernel after each update."""
    bias_constraint: fields.BiasConstraint = None

    def build(self, x: TensorSpec) -> nn.Module:
        return DepthwiseConvolutionModule(self, *self.window_and_channels(x))


class DepthwiseConvolutionModule(BaseConvolutionModule):
    kernel: Tensor

    def __init__(self, settings: DepthwiseConvolution, window: Window, channels: int) -> None:
        super().__init__(settings, window)
        kernel = (*window.size, channels, settings.depth_multiplier)
        self.add_weight_of("kernel", kernel, prefix="depthwise_", axes=_DEPTHWISE_AXES[settings.rank])
        self.add_weight_of("bias", (channels * kernel[-1],) if settings.use_bias else None)

    def convolve(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, C * multiplier, *sizes)
        return convolve(x, self.at_least_2d(_grouped(self.kernel)), self.bias, self.window, x.shape[1])


@layer(Example(input=(10, 4), output=(8, 4), config={"kernel_size": 3}))
class DepthwiseConv1D(geometry.WindowArguments1D, DepthwiseConvolution):
    """Depthwise 1D convolution: convolves each channel of a sequence with `depth_multiplier` kernels of its own.

    Input: (N, T, C). Output: (N, T', C * depth_multiplier). With `data_format: channels_first` the channels are axis 1.
    With `padding: causal` no output depends on later steps.
    """

    padding: geometry.CausalPadding = "valid"  # pyright: ignore[reportIncompatibleVariableOverride]


@layer(Example(input=(8, 8, 3), output=(6, 6, 3), config={"kernel_size": 3}))
class DepthwiseConv2D(geometry.WindowArguments2D, DepthwiseConvolution):
    """Depthwise 2D convolution: convolves each channel of an image with `depth_multiplier` kernels of its own.

    Input: (N, H, W, C). Output: (N, H', W', C * depth_multiplier). With `data_format: channels_first` the channels are
    axis 1.
    """


class SeparableConvolution(FilterArguments):
    """Base class of separable_conv_1d and separable_conv_2d, which narrow the types of the sizes."""

    data_format: DataFormat = "channels_last"
    dilation_rate: geometry.DilationRate
    depth_multiplier: PositiveInt = 1
    """Number of depthwise output channels for each input channel."""
    activation: fields.OutputActivation = None
    use_bias: fields.UseBias = True
    depthwise_initializer: fields.InitializerField = GlorotUniform()
    """Initializer of the depthwise kernel."""
    pointwise_initializer: fields.InitializerField = GlorotUniform()
    """Initializer of the pointwise (1x1) kernel."""
    bias_initializer: fields.BiasInitializer = Zeros()
    depthwise_regularizer: fields.RegularizerField | None = None
    """Regularizer of the depthwise kernel, a penalty added to the loss."""
    pointwise_regularizer: fields.RegularizerField | None = None
    """Regularizer of the pointwise kernel, a penalty added to the loss."""
    bias_regularizer: fields.BiasRegularizer = None
    activity_regularizer: fields.ActivityRegularizer = None
    depthwise_constraint: fields.ConstraintField | None = None
    """Constraint applied to the depthwise kernel after each update."""
    pointwise_constraint: fields.ConstraintField | None = None
    """Constraint applied to the pointwise kernel after each update."""
    bias_constraint: fields.BiasConstraint = None

    def build(self, x: TensorSpec) -> nn.Module:
        return SeparableConvolutionModule(self, *self.window_and_channels(x))


class SeparableConvolutionModule(BaseConvolutionModule):
    depthwise_kernel: Tensor
    pointwise_kernel: Tensor

    def __init__(self, settings: SeparableConvolution, window: Window, channels: int) -> None:
        super().__init__(settings, window)
        rank, depth = settings.rank, settings.depth_multiplier
        self.add_weight_of("depthwise_kernel", (*window.size, channels, depth), axes=_DEPTHWISE_AXES[rank])
        pointwise = (*(1,) * rank, channels * depth, settings.filters)
        self.add_weight_of("pointwise_kernel", pointwise, axes=KERNEL_AXES[rank])
        self.add_weight_of("bias", (settings.filters,) if settings.use_bias else None)

    def convolve(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, filters, *sizes)
        y = convolve(x, self.at_least_2d(_grouped(self.depthwise_kernel)), None, self.window, x.shape[1])
        return F.conv2d(y, self.at_least_2d(self.pointwise_kernel), self.bias)


@layer(
    Example(input=(10, 4), output=(8, 6), config={"filters": 6, "kernel_size": 3}),
    aliases=("separable_convolution_1d",),
)
class SeparableConv1D(geometry.WindowArguments1D, SeparableConvolution):
    """Separable 1D convolution: convolves each channel on its own (depthwise), then mixes channels (pointwise).

    Input: (N, T, C). Output: (N, T', filters). With `data_format: channels_first`: (N, C, T) and (N, filters, T'). With
    `padding: causal` no output depends on later steps.
    """

    padding: geometry.CausalPadding = "valid"  # pyright: ignore[reportIncompatibleVariableOverride]


@layer(
    Example(input=(8, 8, 3), output=(6, 6, 5), config={"filters": 5, "kernel_size": 3}),
    aliases=("separable_convolution_2d",),
)
class SeparableConv2D(geometry.WindowArguments2D, SeparableConvolution):
    """Separable 2D convolution: convolves each channel on its own (depthwise), then mixes channels (pointwise).

    Input: (N, H, W, C). Output: (N, H', W', filters). With `data_format: channels_first`: (N, C, H, W) and (N, filters,
    H', W').
    """
