"""Geometry of tensors: axes counted as Keras counts them, channels first or last, sliding windows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, Shape, Size1D, Size2D, Size3D, Sizes, TensorSpec
from kerascli.layers.base import Layer, ShapeMismatch

DilationRate = Annotated[
    Sizes, Field(description="Spacing between the elements of the window along each axis; 1: adjacent.")
]
Padding = Annotated[
    Literal["valid", "same"],
    Field(description="valid: no padding; same: padded on both sides to an output size of ceil(input / stride)."),
]
CausalPadding = Annotated[
    Literal["valid", "same", "causal"],
    Field(description="valid: no padding; same: output length ceil(steps / stride); causal: padded at the start only."),
]


class WindowArguments(Layer):
    """Mixin with the window of convolutional layers; subclasses for 1D, 2D and 3D narrow the sizes' types."""

    rank: ClassVar[int]

    kernel_size: Sizes
    """Size of the window along each spatial axis; one integer: the same for all."""
    strides: Sizes
    """Stride of the window along each spatial axis; one integer: the same for all."""
    padding: Padding = "valid"

    if TYPE_CHECKING:  # declared by each layer, where Keras has it: later
        data_format: DataFormat
        dilation_rate: DilationRate

    def window_and_channels(self, x: TensorSpec) -> tuple["Window", int]:
        """Return the layer's window and the number of channels of `x`; raises ShapeMismatch for an unsuitable `x`."""
        window = Window(self.kernel_size, self.strides, self.padding, self.dilation_rate)
        sizes, channels = sizes_and_channels(x, self.rank, self.data_format)
        window.check(sizes)
        return window, channels


class WindowArguments1D(Layer):
    """Mixin with the window settings (kernel_size ...) of layers over sequences; a layer lists it before its other base
    class."""

    rank: ClassVar[int] = 1

    kernel_size: Size1D
    strides: Size1D = (1,)
    dilation_rate: Size1D = (1,)


class WindowArguments2D(Layer):
    """Mixin with the window settings (kernel_size ...) of layers over images; a layer lists it before its other base
    class."""

    rank: ClassVar[int] = 2

    kernel_size: Size2D
    strides: Size2D = (1, 1)
    dilation_rate: Size2D = (1, 1)


class WindowArguments3D(Layer):
    """Mixin with the window settings (kernel_size ...) of layers over volumes; a layer lists it before its other base
    class."""

    rank: ClassVar[int] = 3

    kernel_size: Size3D
    strides: Size3D = (1, 1, 1)
    dilation_rate: Size3D = (1, 1, 1)


_ORDERS = {1: ("sequences", "steps"), 2: ("images", "height, width"), 3: ("volumes", "depth, height, width")}


def positive_axes(axes: int | tuple[int, ...], x: TensorSpec, argument: str = "axis") -> tuple[int, ...]:
    """Return the given axes of `x` as positive numbers (0 is the batch), in ascending order; raises ShapeMismatch."""
    each = (axes,) if isinstance(axes, int) else axes
    rank = x.rank + 1
    positive = sorted({axis + rank if axis < 0 else axis for axis in each})
    if not each or len(positive) != len(each) or positive[0] < 1 or positive[-1] >= rank:
        shown = axes if isinstance(axes, int) else list(axes)
        hint = "axis 0 is the batch; negative axes count from the end"
        raise ShapeMismatch(f"axis {shown} does not fit an input of {x}", hint=hint, argument=argument)
    return tuple(positive)


def as_mask(mask: Tensor | None) -> Tensor | None:
    """Return a mask as a boolean tensor: of numbers, 0 means masked."""
    return mask if mask is None or mask.dtype == torch.bool else mask != 0


def broadcast_mask(mask: Tensor, x: Tensor) -> Tensor:
    """Return `mask`, which has the first axes of `x`, with axes of size 1 appended up to the rank of `x`."""
    return mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim))


def spatial_shape(x: TensorSpec, rank: int, data_format: DataFormat) -> tuple[Shape, int | None]:
    """Return the sizes of the `rank` spatial axes of `x` and its number of channels; raises ShapeMismatch."""
    what, order = _ORDERS[rank]
    order = f"{order}, channels" if data_format == "channels_last" else f"channels, {order}"
    if x.rank != rank + 1:
        raise ShapeMismatch(f"needs {what} ({order}), got {x}", hint=_reshape_hint(x, rank))
    return (x.shape[:-1], x.shape[-1]) if data_format == "channels_last" else (x.shape[1:], x.shape[0])


def sizes_and_channels(x: TensorSpec, rank: int, data_format: DataFormat) -> tuple[Shape, int]:
    """Return the spatial sizes of `x` and its number of channels, which must be known; raises ShapeMismatch."""
    sizes, channels = spatial_shape(x, rank, data_format)
    if channels is None:
        raise ShapeMismatch(f"needs a known number of channels, got {x}")
    return sizes, channels


def check_groups(groups: int, channels: int, x: TensorSpec) -> None:
    """Raise ShapeMismatch unless the setting `groups` of a layer divides the number of channels of its input `x`."""
    if channels % groups:
        text = f"has {groups} groups, which do not divide the {channels} channels of {x}"
        raise ShapeMismatch(text, argument="groups")


def _reshape_hint(x: TensorSpec, rank: int) -> str | None:
    sizes = x.shape
    if rank == 2 and x.rank == 1 and sizes[0] is not None and math.isqrt(sizes[0]) ** 2 == sizes[0]:
        sizes = (math.isqrt(sizes[0]),) * 2
    return None if len(sizes) != rank or None in sizes else f"put reshape: {[*sizes, 1]} before it"


def to_channels_first(x: Tensor, data_format: DataFormat) -> Tensor:
    """Return `x` as (N, C, *), as torch's convolutions need it; for channels-last data the result shares the memory of
    `x`."""
    return x.movedim(-1, 1) if data_format == "channels_last" else x


def from_channels_first(x: Tensor, data_format: DataFormat) -> Tensor:
    """Return a tensor (N, C, *), whose channels are first, in `data_format`: the inverse of `to_channels_first`."""
    return x.movedim(1, -1) if data_format == "channels_last" else x


def with_channels_first(x: Tensor, function: Callable[[Tensor], Tensor], rank: int, data_format: DataFormat) -> Tensor:
    """Apply a function of (N, C, *sizes), with at least two sizes, to a tensor of `rank` spatial axes.

    Sequences are passed as images of height 1, for torch's channels_last kernels.
    """
    x = to_channels_first(x, data_format)
    y = function(x.unsqueeze(2)).squeeze(2) if rank == 1 else function(x)
    return from_channels_first(y, data_format)


@dataclass(frozen=True, slots=True)
class Window:
    """Sliding window over the spatial axes, padded as in TensorFlow and Keras."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Literal["valid", "same", "causal"]
    dilation: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """Size of the window along each axis, including the gaps of a dilated window."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.size, self.dilation, strict=True))

    def at_least_2d(self) -> "Window":
        """Return the window as a 2D one (height 1) if it is 1D, for sequences processed as images of height 1."""
        ones = (1,) * (2 - len(self.size))
        return Window((*ones, *self.size), (*ones, *self.strides), self.padding, (*ones, *self.dilation))

    def check(self, sizes: Shape) -> None:
        """Raise ShapeMismatch if an input with the spatial sizes `sizes` is smaller than the window."""
        if self.padding != "valid":
            return
        if any(size is not None and size < reach for size, reach in zip(sizes, self.reach, strict=True)):
            shown, window = (" x ".join("?" if n is None else str(n) for n in part) for part in (sizes, self.reach))
            hint = "use padding: same, a smaller window, or fewer poolings and strides before it"
            raise ShapeMismatch(f"input is {shown}, a {window} window with padding valid leaves nothing", hint=hint)

    def output_sizes(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Return the output size along each axis: the number of window positions."""
        axes = zip(sizes, self.pads(sizes), self.reach, self.strides, strict=True)
        return tuple((size + sum(pads) - reach) // stride + 1 for size, pads, reach, stride in axes)

    def pads(self, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return the padding (before, after) of each spatial axis; with padding `same` an odd element goes after."""
        if self.padding == "valid":
            return [(0, 0)] * len(sizes)
        if self.padding == "causal":
            return [(reach - 1, 0) for reach in self.reach]
        totals = [
            max(0, (-(-size // stride) - 1) * stride + reach - size)
            for size, stride, reach in zip(sizes, self.strides, self.reach, strict=True)
        ]
        return [(total // 2, total - total // 2) for total in totals]

    def padded(self, x: Tensor, value: float = 0.0) -> tuple[Tensor, tuple[int, ...] | int]:
        """Return `x` (N, C, *sizes) and the padding left to torch's kernel, which pads both sides of an axis equally.

        Other padding is already in the returned tensor, filled with `value`.
        """
        pads = self.pads(tuple(x.shape[2:]))
        if all(before == after for before, after in pads):
            return x, tuple(before for before, _ in pads)
        return F.pad(x, pad_order(pads), value=value), 0


def pad_order(pads: list[tuple[int, int]]) -> list[int]:
    """Return pairs of padding (before, after) as the flat list that `F.pad` takes, the last axis first."""
    return [side for pad in reversed(pads) for side in pad]
