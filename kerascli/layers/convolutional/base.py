"""What the convolutions share: settings, weights, and one forward for every rank."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.layers.base import Layer, ShapeMismatch, WeightedModule
from kerascli.layers.geometry import Window, even, flat, from_channels_first, spatial_shape, to_channels_first
from kerascli.parts.fields import ActivationField, ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import GlorotUniform, Zeros
from kerascli.shapes import DataFormat, PositiveInt, Sizes, TensorSpec

_KERNEL_AXES = {1: (2, 1, 0), 2: (3, 2, 0, 1), 3: (4, 3, 0, 1, 2)}


class Convolution(Layer):
    """Settings of a convolution; the classes for each rank narrow the sizes."""

    rank: ClassVar[int]

    filters: PositiveInt
    kernel_size: Sizes
    strides: Sizes
    padding: Literal["valid", "same"] = "valid"
    data_format: DataFormat = "channels_last"
    dilation_rate: Sizes
    groups: PositiveInt = 1
    activation: ActivationField | None = None
    use_bias: bool = True
    kernel_initializer: InitializerField = GlorotUniform()
    bias_initializer: InitializerField = Zeros()
    kernel_regularizer: RegularizerField | None = None
    bias_regularizer: RegularizerField | None = None
    activity_regularizer: RegularizerField | None = None
    kernel_constraint: ConstraintField | None = None
    bias_constraint: ConstraintField | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.filters % self.groups:
            raise ValueError(f"filters ({self.filters}) must be a multiple of groups ({self.groups})")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError("strides and dilation_rate cannot both be above 1")
        return self

    def build(self, x: TensorSpec) -> nn.Module:
        sizes, channels = spatial_shape(x, self.rank, self.data_format)
        if channels is None:
            raise ShapeMismatch(f"needs a known number of channels, got {x}")
        if channels % self.groups:
            raise ShapeMismatch(
                f"has {self.groups} groups, which do not divide the {channels} channels of {x}", argument="groups"
            )
        window = Window(self.kernel_size, self.strides, self.padding, self.dilation_rate)
        window.check(sizes)
        return ConvolutionModule(self, window, channels)


class ConvolutionModule(WeightedModule):
    """Rank 1 runs as rank 2 with a height of 1: the same kernels, in the fast memory format."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: Convolution, window: Window, channels: int) -> None:
        super().__init__()
        self.window = window
        self.of_sequences = settings.rank == 1
        self.data_format: DataFormat = settings.data_format
        self.groups = settings.groups
        self.activation = settings.activation
        self.add_weight(
            "kernel", (*window.size, channels // settings.groups, settings.filters), axes=_KERNEL_AXES[settings.rank],
            initializer=settings.kernel_initializer,
            regularizer=settings.kernel_regularizer, constraint=settings.kernel_constraint,
        )  # fmt: skip
        if settings.use_bias:
            self.add_weight(
                "bias", (settings.filters,), initializer=settings.bias_initializer,
                regularizer=settings.bias_regularizer, constraint=settings.bias_constraint,
            )  # fmt: skip
        else:
            self.bias = None

    def forward(self, x: Tensor) -> Tensor:  # (N, *sizes, C) -> (N, *sizes, filters), or channels first
        y = from_channels_first(self._convolve(to_channels_first(x, self.data_format)), self.data_format)
        return y if self.activation is None else self.activation(y)

    def _convolve(self, x: Tensor) -> Tensor:
        window = self.window
        pads = window.pads(tuple(x.shape[2:]))
        padding = even(pads)
        if padding is None:
            x, padding = F.pad(x, flat(pads)), (0,) * len(pads)
        if self.of_sequences:
            y = F.conv2d(
                x.unsqueeze(2), self.kernel.unsqueeze(2), self.bias,
                (1, *window.strides), (0, *padding), (1, *window.dilation), self.groups,
            )  # fmt: skip
            return y.squeeze(2)
        convolve = F.conv2d if x.ndim == 4 else F.conv3d
        return convolve(x, self.kernel, self.bias, window.strides, padding, window.dilation, self.groups)
