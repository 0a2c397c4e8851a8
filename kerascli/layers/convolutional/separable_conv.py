"""SeparableConv1D, SeparableConv2D: a depthwise convolution followed by a pointwise one."""

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, TensorSpec
from kerascli.layers.base import Example, layer
from kerascli.layers.convolutional.base import (
    KERNEL_AXES,
    BaseConvolutionModule,
    DepthMultiplier,
    DepthwiseConstraint,
    DepthwiseInitializer,
    DepthwiseRegularizer,
    FilterArguments,
    convolve,
    window_and_channels,
)
from kerascli.layers.convolutional.depthwise_conv import DEPTHWISE_AXES, grouped
from kerascli.layers.geometry import CausalPadding, DilationRate, Window, WindowArguments1D, WindowArguments2D
from kerascli.parts import fields
from kerascli.parts.initializers import GlorotUniform, Zeros


class SeparableConvolution(FilterArguments):
    """Base class of separable_conv_1d and separable_conv_2d, which narrow the types of the sizes."""

    data_format: DataFormat = "channels_last"
    dilation_rate: DilationRate
    depth_multiplier: DepthMultiplier = 1
    activation: fields.OutputActivation = None
    use_bias: fields.UseBias = True
    depthwise_initializer: DepthwiseInitializer = GlorotUniform()
    pointwise_initializer: fields.InitializerField = GlorotUniform()
    """Initializer of the pointwise (1x1) kernel."""
    bias_initializer: fields.BiasInitializer = Zeros()
    depthwise_regularizer: DepthwiseRegularizer = None
    pointwise_regularizer: fields.RegularizerField | None = None
    """Regularizer of the pointwise kernel, a penalty added to the loss."""
    bias_regularizer: fields.BiasRegularizer = None
    activity_regularizer: fields.ActivityRegularizer = None
    depthwise_constraint: DepthwiseConstraint = None
    pointwise_constraint: fields.ConstraintField | None = None
    """Constraint applied to the pointwise kernel after each update."""
    bias_constraint: fields.BiasConstraint = None

    def build(self, x: TensorSpec) -> nn.Module:
        return SeparableConvolutionModule(self, *window_and_channels(self, x))


class SeparableConvolutionModule(BaseConvolutionModule):
    depthwise_kernel: Tensor
    pointwise_kernel: Tensor

    def __init__(self, settings: SeparableConvolution, window: Window, channels: int) -> None:
        super().__init__(settings)
        self.window = window.at_least_2d()
        self.channels = channels
        rank, depth = settings.rank, settings.depth_multiplier
        self.add_weight_of(settings, "depthwise_kernel", (*window.size, channels, depth), axes=DEPTHWISE_AXES[rank])
        pointwise = (*(1,) * rank, channels * depth, settings.filters)
        self.add_weight_of(settings, "pointwise_kernel", pointwise, axes=KERNEL_AXES[rank])
        self.add_weight_of(settings, "bias", (settings.filters,) if settings.use_bias else None)

    def convolve(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, filters, *sizes)
        y = convolve(x, self.at_least_2d(grouped(self.depthwise_kernel)), None, self.window, self.channels)
        return F.conv2d(y, self.at_least_2d(self.pointwise_kernel), self.bias)


@layer(
    Example(input=(10, 4), output=(8, 6), config={"filters": 6, "kernel_size": 3}),
    Example(input=(10, 4), output=(5, 6), config={"filters": 6, "kernel_size": 3, "strides": 2, "padding": "causal"}),
    aliases=("separable_convolution_1d",),
)
class SeparableConv1D(WindowArguments1D, SeparableConvolution):
    """Separable 1D convolution: convolves each channel on its own (depthwise), then mixes channels (pointwise).

    Input: (N, T, C). Output: (N, T', filters). With `data_format: channels_first`: (N, C, T) and (N, filters, T'). With
    `padding: causal` no output depends on later steps.
    """

    padding: CausalPadding = "valid"  # pyright: ignore[reportIncompatibleVariableOverride]


@layer(
    Example(input=(8, 8, 3), output=(6, 6, 5), config={"filters": 5, "kernel_size": 3}),
    Example(
        input=(8, 7, 3),
        output=(4, 4, 5),
        config={"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2},
    ),
    aliases=("separable_convolution_2d",),
)
class SeparableConv2D(WindowArguments2D, SeparableConvolution):
    """Separable 2D convolution: convolves each channel on its own (depthwise), then mixes channels (pointwise).

    Input: (N, H, W, C). Output: (N, H', W', filters). With `data_format: channels_first`: (N, C, H, W) and (N, filters,
    H', W').
    """
