"""Conv1DTranspose, Conv2DTranspose, Conv3DTranspose: transposed convolutions, which upsample."""

from typing import Literal, Self

from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import Count1D, Count2D, Count3D, DataFormat, NonNegativeInt, TensorSpec
from kerascli.layers import geometry
from kerascli.layers.base import Example, ShapeMismatch, layer
from kerascli.layers.convolutional.convolution import KERNEL_AXES, BaseConvolutionModule, StridedOrDilated
from kerascli.layers.geometry import Window
from kerascli.layers.kernels import KernelAndBias, OutputArguments
from kerascli.ops.filters import cut_of_transposed

_FEW_WEIGHTS = 64 * 64
"""Most pairs of channels for which a 3 x 3 kernel is padded to 4 x 4 with zeros before it, on the CPU.

With strides of 2 and padding `same` the output then has even ends and is not cropped: 0.6 to 0.8 of the time in oneDNN;
beyond, the products with zeros take longer.
"""


class TransposedConvolutionArguments(StridedOrDilated):
    """Mixin with a transposed convolution's first arguments, in Keras's order: those before `activation`."""

    padding: Literal["valid", "same"] = "valid"
    """valid: output size (input - 1) * stride + dilated kernel size; same: input * stride (without output_padding)."""
    output_padding: tuple[NonNegativeInt, ...] | None = None
    """Size added at the end of each axis, less than the stride; null: such that outputs are at least input * stride."""
    data_format: DataFormat = "channels_last"
    dilation_rate: geometry.DilationRate


class TransposedConvolution(KernelAndBias, OutputArguments, TransposedConvolutionArguments):
    """Base class of transposed convolution layers; the subclasses for 1D, 2D and 3D narrow the sizes' types."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(extra >= stride for extra, stride in zip(self.output_padding or (), self.strides, strict=False)):
            padding, strides = list(self.output_padding or ()), list(self.strides)
            raise ValueError(f"output_padding must be less than strides on every axis, got {padding} and {strides}")
        return self

    def build(self, x: TensorSpec) -> nn.Module:
        window = Window(self.kernel_size, self.strides, self.padding, self.dilation_rate)
        sizes, channels = geometry.sizes_and_channels(x, self.rank, self.data_format)
        extras = self.output_padding or (None,) * self.rank
        whole = zip(window.reach, window.strides, extras, strict=True)
        cuts = tuple(cut_of_transposed(*each, self.padding) for each in whole)
        for size, reach, stride, cut in zip(sizes, window.reach, window.strides, cuts, strict=True):
            if size is not None and (size - 1) * stride + reach <= sum(cut):
                hint = "use a larger output_padding"
                raise ShapeMismatch(f"leaves nothing of {x}", hint=hint, argument="output_padding")
        return TransposedConvolutionModule(self, window, cuts, channels)


class TransposedConvolutionModule(BaseConvolutionModule):
    """Module of a transposed convolution; it pads both ends equally, as torch does, and crops surplus output.

    Where that is faster, a small kernel is padded with zeros instead.
    """

    kernel: Tensor

    def __init__(
        self, settings: TransposedConvolution, window: Window, cuts: tuple[tuple[int, int], ...], channels: int
    ) -> None:
        super().__init__(settings, window)
        cuts = ((0, 0), *cuts) if settings.rank == 1 else cuts
        self.padding = tuple(before for before, _ in cuts)
        self.output_padding = tuple(max(before - after, 0) for before, after in cuts)
        self.surplus = tuple(max(after - before, 0) for before, after in cuts)
        kernel = (*settings.kernel_size, settings.filters, channels)
        is_uneven = settings.kernel_size == (3, 3) and cuts == ((0, 1), (0, 1))
        self.pads_kernel = is_uneven and settings.filters * channels <= _FEW_WEIGHTS
        self.add_weight_of("kernel", kernel, axes=KERNEL_AXES[settings.rank])
        self.add_weight_of("bias", (settings.filters,) if settings.use_bias else None)

    def convolve(self, x: Tensor) -> Tensor:  # (N, C, *sizes) -> (N, filters, *sizes)
        function = F.conv_transpose2d if x.ndim == 4 else F.conv_transpose3d
        kernel, padding, surplus = self.at_least_2d(self.kernel), self.padding, self.surplus
        if self.pads_kernel and x.device.type == "cpu":
            kernel, padding, surplus = F.pad(kernel, (1, 0, 1, 0)), (1, 1), ()
        y = function(x, kernel, self.bias, self.window.strides, padding, self.output_padding, 1, self.window.dilation)
        for axis, count in enumerate(surplus, 2):
            y = y.narrow(axis, 0, y.shape[axis] - count) if count else y
        return y


@layer(
    Example(input=(8, 4), output=(10, 6), config={"filters": 6, "kernel_size": 3}),
    aliases=("convolution_1d_transpose",),
)
class Conv1DTranspose(geometry.WindowArguments1D, TransposedConvolution):
    """Transposed 1D convolution (also called deconvolution) of sequences: strides of 2 double their length.

    Input: (N, T, C). Output: (N, T', filters). With `data_format: channels_first`: (N, C, T) and (N, filters, T').
    """

    output_padding: Count1D | None = None


@layer(
    Example(
        input=(7, 7, 4), output=(14, 14, 6), config={"filters": 6, "kernel_size": 5, "strides": 2, "padding": "same"}
    ),
    aliases=("convolution_2d_transpose",),
)
class Conv2DTranspose(geometry.WindowArguments2D, TransposedConvolution):
    """Transposed 2D convolution (also called deconvolution) of images: strides of 2 double their height and width.

    Input: (N, H, W, C). Output: (N, H', W', filters). With `data_format: channels_first`: (N, C, H, W) and (N, filters,
    H', W').
    """

    output_padding: Count2D | None = None


@layer(
    Example(
        input=(2, 3, 4, 2),
        output=(4, 6, 8, 3),
        config={"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
    ),
    aliases=("convolution_3d_transpose",),
)
class Conv3DTranspose(geometry.WindowArguments3D, TransposedConvolution):
    """Transposed 3D convolution (also called deconvolution) of volumes: strides of 2 double each size.

    Input: (N, D, H, W, C). Output: (N, D', H', W', filters). With `data_format: channels_first`: (N, C, D, H, W) and
    (N, filters, D', H', W').
    """

    output_padding: Count3D | None = None
