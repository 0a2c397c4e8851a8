"""ZeroPadding1D, ZeroPadding2D, ZeroPadding3D: add zeros around sequences, images and volumes."""

from typing import Any

from torch import nn
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, Margin1D, Margin2D, Margin3D, TensorSpec
from kerascli.layers.base import Example, Layer, layer
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
