"""UpSampling1D, UpSampling2D, UpSampling3D: repeat steps, pixels or voxels, or interpolate images."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import DataFormat, PositiveInt, Size2D, Size3D, TensorSpec
from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import spatial_shape, with_channels_first
from kerascli.preprocessing.function import Function
from kerascli.preprocessing.resampling import resampling_weights


@layer(Example(input=(4, 3), output=(8, 3)))
class UpSampling1D(Layer):
    """Repeats each step of a sequence `size` times.

    Input: (N, T, C). Output: (N, T * size, C).
    """

    size: PositiveInt = 2
    """Number of times that each step is repeated."""

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, 1, "channels_last")
        return Function(_repeated, (self.size,), "channels_last")


@layer(Example(input=(3, 4, 2), output=(6, 8, 2)))
class UpSampling2D(Layer):
    """Enlarges images `size` times by repeating pixels or by interpolation.

    Input: (N, H, W, C). Output: (N, H * size, W * size, C). With `data_format: channels_first` the channels are axis 1.
    """

    size: Size2D = (2, 2)
    """Factors of height and width: one integer for both, or [height, width]."""
    data_format: DataFormat = "channels_last"
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"] = "nearest"
    """Method: nearest repeats pixels; all others interpolate by weighted means of neighbouring pixels."""

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, 2, self.data_format)
        match self.interpolation:
            case "nearest":
                return Function(_repeated, self.size, self.data_format)
            case "bilinear":
                return Function(with_channels_first, self._bilinear, 2, self.data_format)
            case _:
                return Function(self._smooth)

    def _bilinear(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C, larger H, larger W)
        larger = [size * times for size, times in zip(x.shape[2:], self.size, strict=True)]
        return F.interpolate(x, size=larger, mode="bilinear", align_corners=False)

    def _smooth(self, x: Tensor) -> Tensor:  # (N, H, W, C) -> (N, larger H, larger W, C), or channels first
        """Enlarge images by weighted means of neighbouring pixels (bicubic, lanczos3 or lanczos5 kernels)."""
        for axis, times in enumerate(self.size, _first(self.data_format)):
            weights = resampling_weights(x, x.shape[axis], times * x.shape[axis], self.interpolation)
            x = (x.movedim(axis, -1) @ weights).movedim(-1, axis)
        return x


@layer(Example(input=(2, 3, 4, 2), output=(4, 6, 8, 2)))
class UpSampling3D(Layer):
    """Repeats each voxel of a volume `size` times along each axis.

    Input: (N, D, H, W, C). Output: (N, D * size, H * size, W * size, C). With `data_format: channels_first` the
    channels are axis 1.
    """

    size: Size3D = (2, 2, 2)
    """Factors of the three sizes: one integer for all, or [depth, height, width]."""
    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, 3, self.data_format)
        return Function(_repeated, self.size, self.data_format)


def _first(data_format: DataFormat) -> int:
    """Return the number of the first spatial axis."""
    return 1 if data_format == "channels_last" else 2


def _repeated(x: Tensor, times: tuple[int, ...], data_format: DataFormat) -> Tensor:
    """Repeat the values of `x` (N, *sizes, C), or channels first, along each spatial axis."""
    larger = list(x.shape)
    for axis, count in reversed([*enumerate(times, _first(data_format))]):
        x = x.unsqueeze(axis + 1)
        x = x.expand(*x.shape[: axis + 1], count, *x.shape[axis + 2 :])
        larger[axis] *= count
    return x.reshape(larger)  # the only copy
