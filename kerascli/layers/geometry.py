"""Where things are in a tensor: axes counted as Keras counts them, channels first or last, sliding windows."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from kerascli.layers.base import Layer, ShapeMismatch
from kerascli.shapes import DataFormat, Shape, Size1D, Size2D, Size3D, Sizes, TensorSpec

KernelSize = Annotated[Sizes, Field(description="The size of the window.")]
Strides = Annotated[Sizes, Field(description="How far the window moves.")]
DilationRate = Annotated[Sizes, Field(description="The distance of a window's points; 1: side by side.")]
Padding = Annotated[
    Literal["valid", "same"],
    Field(description="valid: only whole windows; same: as many as there are inputs (with strides 1)."),
]
CausalPadding = Annotated[
    Literal["valid", "same", "causal"],
    Field(description="valid: only whole windows; same: as many as there are steps; causal: none looks ahead."),
]


class Over1D(Layer):
    """The sizes of a window over sequences, for a class whose further bases have the settings around them."""

    rank: ClassVar[int] = 1

    kernel_size: Size1D
    strides: Size1D = (1,)
    dilation_rate: Size1D = (1,)


class Over2D(Layer):
    """The same over images."""

    rank: ClassVar[int] = 2

    kernel_size: Size2D
    strides: Size2D = (1, 1)
    dilation_rate: Size2D = (1, 1)


class Over3D(Layer):
    """The same over volumes."""

    rank: ClassVar[int] = 3

    kernel_size: Size3D
    strides: Size3D = (1, 1, 1)
    dilation_rate: Size3D = (1, 1, 1)


_ORDERS = {1: ("sequences", "steps"), 2: ("images", "height, width"), 3: ("volumes", "depth, height, width")}


def positive_axes(axes: int | tuple[int, ...], x: TensorSpec, argument: str = "axis") -> tuple[int, ...]:
    """The axes of `x` (batch included) as numbers from 1, in order; raises ShapeMismatch."""
    given = (axes,) if isinstance(axes, int) else axes
    rank = x.rank + 1
    found = sorted({axis + rank if axis < 0 else axis for axis in given})
    if not given or len(found) != len(given) or found[0] < 1 or found[-1] >= rank:
        shown = axes if isinstance(axes, int) else list(axes)
        raise ShapeMismatch(
            f"axis {shown} does not fit an input of {x}",
            hint="axis 0 is the batch; negative axes count from the end",
            argument=argument,
        )
    return tuple(found)


def broadcast_mask(mask: Tensor, x: Tensor) -> Tensor:
    """A mask of the first axes of `x` with as many axes as `x`."""
    return mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim))


def spatial_shape(x: TensorSpec, rank: int, data_format: DataFormat) -> tuple[Shape, int | None]:
    """The sizes of the `rank` spatial axes of `x` and its number of channels; raises ShapeMismatch."""
    what, order = _ORDERS[rank]
    order = f"{order}, channels" if data_format == "channels_last" else f"channels, {order}"
    if x.rank != rank + 1:
        raise ShapeMismatch(f"needs {what} ({order}), got {x}", hint=_reshape_hint(x, rank))
    return (x.shape[:-1], x.shape[-1]) if data_format == "channels_last" else (x.shape[1:], x.shape[0])


def _reshape_hint(x: TensorSpec, rank: int) -> str | None:
    sizes = x.shape
    if rank == 2 and x.rank == 1 and sizes[0] is not None and math.isqrt(sizes[0]) ** 2 == sizes[0]:
        sizes = (math.isqrt(sizes[0]),) * 2
    if len(sizes) != rank or None in sizes:
        return None
    return f"put reshape: {[*sizes, 1]} before it"


def to_channels_first(x: Tensor, data_format: DataFormat) -> Tensor:
    """(N, C, *) as torch's convolutions want it: of channels-last data a view in torch's channels_last format."""
    return x.movedim(-1, 1) if data_format == "channels_last" else x


def from_channels_first(x: Tensor, data_format: DataFormat) -> Tensor:
    """The way back."""
    return x.movedim(1, -1) if data_format == "channels_last" else x


@dataclass(frozen=True, slots=True)
class Window:
    """A window that slides over the spatial axes; padding as TensorFlow and Keras have it."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Literal["valid", "same", "causal"]
    dilation: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """The size of the window, gaps of the dilation included."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.size, self.dilation, strict=True))

    def over_images(self) -> "Window":
        """The same window where a sequence is seen as an image of height 1."""
        ones = (1,) * (2 - len(self.size))
        return Window((*ones, *self.size), (*ones, *self.strides), self.padding, (*ones, *self.dilation))

    def check(self, sizes: Shape) -> None:
        """Raise ShapeMismatch if nothing is left of an input of these sizes."""
        if self.padding != "valid":
            return
        if any(size is not None and size < reach for size, reach in zip(sizes, self.reach, strict=True)):
            shown, window = (" x ".join("?" if n is None else str(n) for n in part) for part in (sizes, self.reach))
            raise ShapeMismatch(
                f"input is {shown}, a {window} window with padding valid leaves nothing",
                hint="use padding: same, a smaller window, or fewer poolings and strides before it",
            )

    def results(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """How often the window fits along each axis."""
        spans = [0 if self.padding == "valid" else reach - 1 for reach in self.reach]
        return tuple(
            (size + span - reach) // stride + 1
            for size, span, reach, stride in zip(sizes, spans, self.reach, self.strides, strict=True)
        )

    def pads(self, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
        """Padding before and after each spatial axis; for `same` the odd one out comes after."""
        if self.padding == "valid":
            return [(0, 0)] * len(sizes)
        if self.padding == "causal":
            return [(reach - 1, 0) for reach in self.reach]
        totals = [
            max(0, (-(-size // stride) - 1) * stride + reach - size)
            for size, stride, reach in zip(sizes, self.strides, self.reach, strict=True)
        ]
        return [(total // 2, total - total // 2) for total in totals]


def even(pads: list[tuple[int, int]]) -> tuple[int, ...] | None:
    """The padding that torch's kernels do themselves: the same on both sides; None if it is not."""
    return tuple(before for before, _ in pads) if all(before == after for before, after in pads) else None


def flat(pads: list[tuple[int, int]]) -> list[int]:
    """The order that `F.pad` wants: the last axis first."""
    return [side for pad in reversed(pads) for side in pad]
