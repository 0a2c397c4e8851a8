"""UpSampling1D, UpSampling2D, UpSampling3D: each step, pixel or voxel several times, or images interpolated."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.layers.base import Example, Layer, layer
from kerascli.layers.geometry import from_channels_first, spatial_shape, to_channels_first
from kerascli.shapes import DataFormat, PositiveInt, Size2D, Size3D, TensorSpec


@layer(Example(input=(4, 3), output=(8, 3)), Example(input=(4, 3), output=(12, 3), config={"size": 3}))
class UpSampling1D(Layer):
    """Repeats each step of a sequence `size` times."""

    size: PositiveInt = 2
    """How many times each step comes."""

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, 1, "channels_last")
        return RepeatingModule((self.size,), "channels_last")


@layer(
    Example(input=(3, 4, 2), output=(6, 8, 2)),
    Example(input=(3, 4, 2), output=(9, 8, 2), config={"size": [3, 2], "interpolation": "bilinear"}),
    Example(
        input=(2, 6, 5),
        output=(2, 6, 10),
        config={"size": [1, 2], "interpolation": "lanczos3", "data_format": "channels_first"},
    ),
)
class UpSampling2D(Layer):
    """Makes an image `size` times larger: repeats its pixels, or interpolates between them."""

    size: Size2D = (2, 2)
    """How many times higher and wider it becomes."""
    data_format: DataFormat = "channels_last"
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"] = "nearest"
    """nearest: repeat the pixels; the others: weighted means of the pixels around."""

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, 2, self.data_format)
        match self.interpolation:
            case "nearest":
                return RepeatingModule(self.size, self.data_format)
            case "bilinear":
                return BilinearModule(self.size, self.data_format)
            case _:
                return SmoothModule(self.size, self.data_format, self.interpolation)


@layer(
    Example(input=(2, 3, 4, 2), output=(4, 6, 8, 2)),
    Example(input=(2, 3, 4, 2), output=(2, 6, 12, 2), config={"size": [1, 2, 3]}),
)
class UpSampling3D(Layer):
    """Repeats each voxel of a volume `size` times along each axis."""

    size: Size3D = (2, 2, 2)
    """How many times larger it becomes."""
    data_format: DataFormat = "channels_last"

    def build(self, x: TensorSpec) -> nn.Module:
        spatial_shape(x, 3, self.data_format)
        return RepeatingModule(self.size, self.data_format)


class UpSamplingModule(nn.Module):
    def __init__(self, times: tuple[int, ...], data_format: DataFormat) -> None:
        super().__init__()
        self.times = times
        self.data_format: DataFormat = data_format
        self.first = 1 if data_format == "channels_last" else 2


class RepeatingModule(UpSamplingModule):
    def forward(self, x: Tensor) -> Tensor:  # (N, *sizes, C) -> (N, *larger sizes, C), or channels first
        larger = list(x.shape)
        for axis, times in reversed([*enumerate(self.times, self.first)]):
            x = x.unsqueeze(axis + 1)
            x = x.expand(*x.shape[: axis + 1], times, *x.shape[axis + 2 :])
            larger[axis] *= times
        return x.reshape(larger)  # the one copy


class BilinearModule(UpSamplingModule):
    def forward(self, x: Tensor) -> Tensor:  # (N, H, W, C) -> (N, larger H, larger W, C), or channels first
        x = to_channels_first(x, self.data_format)
        larger = [size * times for size, times in zip(x.shape[2:], self.times, strict=True)]
        y = F.interpolate(x, size=larger, mode="bilinear", align_corners=False)
        return from_channels_first(y, self.data_format)


class SmoothModule(UpSamplingModule):
    """Weighted means of the pixels around; the weights of those outside of the image go to those inside.

    As TensorFlow and JAX have it. torch's bicubic is another curve, and repeats the border.
    """

    def __init__(self, times: tuple[int, ...], data_format: DataFormat, interpolation: str) -> None:
        super().__init__(times, data_format)
        self.curve = _CURVES[interpolation]

    def forward(self, x: Tensor) -> Tensor:  # (N, H, W, C) -> (N, larger H, larger W, C), or channels first
        for axis, times in enumerate(self.times, self.first):
            weights = self._weights(x.shape[axis], times, x)
            x = (x.movedim(axis, -1) @ weights.T).movedim(-1, axis)
        return x

    def _weights(self, size: int, times: int, x: Tensor) -> Tensor:
        """What each pixel counts in each new one: (times * size, size)."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        places = (torch.arange(times * size, dtype=dtype, device=x.device) + 0.5) / times - 0.5
        distances = (places.unsqueeze(1) - torch.arange(size, dtype=dtype, device=x.device)).abs()
        weights = self.curve(distances)
        return (weights / weights.sum(1, keepdim=True)).to(x.dtype)


def _keys_cubic(x: Tensor) -> Tensor:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -1/2."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, far) * (x < 2)


def _lanczos(radius: int) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.sinc(x) * torch.sinc(x / radius) * (x <= radius)


_CURVES = {"bicubic": _keys_cubic, "lanczos3": _lanczos(3), "lanczos5": _lanczos(5)}
