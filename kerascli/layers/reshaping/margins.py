"""ZeroPadding1D to 3D and Cropping1D to 3D: add or remove the margins of sequences, images and volumes."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, Margin1D, Margin2D, Margin3D, TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.layers.geometry import pad_order, spatial_shape
from kerascli.preprocessing.function import Function


class ZeroPadding(Layer):
    """Base class of layers that add zeros around their input."""

    takes_integers = True

    padding: Any
    """Numbers of zeros to add, before and after, along each spatial axis."""
    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        margins = [self.padding] if isinstance(self.padding[0], int) else self.padding
        spatial_shape(x, len(margins), self.data_format)
        channels = [(0, 0)] if self.data_format == "channels_last" else []
        return Function(F.pad, pad_order([*margins, *channels]))


@layer(Example(input=(5, 3), output=(7, 3)))
class ZeroPadding1D(ZeroPadding):
    """Adds steps of zeros before and after a sequence.

    Input: (N, T, C). Output: (N, before + T + after, C). With `data_format: channels_first`: (N, C, T).
    """

    padding: Margin1D = (1, 1)
    """Number of steps to add: one integer for both ends, or [before, after]."""


@layer(Example(input=(5, 6, 3), output=(7, 8, 3)))
class ZeroPadding2D(ZeroPadding):
    """Adds zeros around an image.

    Input: (N, H, W, C). Output: (N, H', W', C). With `data_format: channels_first`: (N, C, H, W) and (N, C, H', W').
    """

    padding: Margin2D = ((1, 1), (1, 1))
    """Number of pixels to add: one integer, [height, width], or [[top, bottom], [left, right]]."""


@layer(Example(input=(4, 5, 6, 2), output=(6, 7, 8, 2)))
class ZeroPadding3D(ZeroPadding):
    """Adds zeros around a volume.

    Input: (N, D, H, W, C). Output: (N, D', H', W', C). With `data_format: channels_first` the channels are axis 1.
    """

    padding: Margin3D = ((1, 1), (1, 1), (1, 1))
    """Number of voxels to add: one integer, or for each axis an integer (at both ends) or [before, after]."""


@layer(Example(input=(5, 3), output=(3, 3)))
class Cropping1D(Layer):
    """Removes steps at both ends of a sequence.

    Input: (N, T, C). Output: (N, T - before - after, C).
    """

    takes_integers = True

    cropping: Margin1D = (1, 1)
    """Number of steps to remove: one integer for both ends, or [before, after]."""

    def build(self, x: TensorSpec) -> nn.Module:
        return _cropped(x, (self.cropping,), "channels_last")


class Cropping(Layer):
    """Base class of layers that remove margins along several axes."""

    takes_integers = True

    cropping: Any
    """Numbers of values to remove, before and after, along each spatial axis."""
    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        return _cropped(x, self.cropping, self.data_format)


@layer(Example(input=(5, 6, 3), output=(3, 4, 3), config={"cropping": 1}))
class Cropping2D(Cropping):
    """Removes the margins of an image.

    Input: (N, H, W, C). Output: (N, H', W', C). With `data_format: channels_first`: (N, C, H, W) and (N, C, H', W').
    """

    cropping: Margin2D = ((0, 0), (0, 0))
    """Number of pixels to remove: one integer, [height, width], or [[top, bottom], [left, right]]."""


@layer(Example(input=(4, 5, 6, 2), output=(2, 3, 4, 2)))
class Cropping3D(Cropping):
    """Removes the margins of a volume.

    Input: (N, D, H, W, C). Output: (N, D', H', W', C). With `data_format: channels_first` the channels are axis 1.
    """

    cropping: Margin3D = ((1, 1), (1, 1), (1, 1))
    """Number of voxels to remove: one integer, or for each axis an integer (at both ends) or [before, after]."""


def _cropped(x: TensorSpec, margins: Sequence[tuple[int, int]], data_format: DataFormat) -> nn.Module:
    sizes, _ = spatial_shape(x, len(margins), data_format)
    if any(size is not None and size <= sum(margin) for size, margin in zip(sizes, margins, strict=True)):
        shown = " x ".join("?" if size is None else str(size) for size in sizes)
        cut = ", ".join(f"{before} and {after}" for before, after in margins)
        raise ShapeMismatch(f"input is {shown}, cutting off {cut} leaves nothing", argument="cropping")
    first = 1 if data_format == "channels_last" else 2
    kept = [slice(before, -after or None) for before, after in margins]
    return Function(Tensor.__getitem__, (*[slice(None)] * first, *kept))
