"""Resizing: scales images to a given size."""

from typing import Literal, Self

import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, PositiveInt
from kerascli.preprocessing.images.base import ImageOperation, Use, operation
from kerascli.preprocessing.resampling import resampling_weights

_TORCH_MODES = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic"}
INTERPOLATIONS = (*_TORCH_MODES, "lanczos3", "lanczos5")


@operation(
    Use({"height": 4, "width": 5}, output=(4, 5, 3)),
    Use({"height": 12, "width": 9, "interpolation": "bicubic"}, output=(12, 9, 3), dtype="int64"),
    Use({"height": 4, "width": 6, "pad_to_aspect_ratio": True, "antialias": True}, output=(4, 6, 3)),
    Use({"height": 5, "width": 4, "interpolation": "lanczos3", "data_format": "channels_first"}, (3, 8, 6), (3, 5, 4)),
)
class Resizing(ImageOperation):
    """Resizes images to `height` x `width`, in training and at inference; integers stay integers.

    Input: (N, H, W, C). Output: (N, height, width, C).
    """

    always = True
    keeps_integers = True

    height: PositiveInt
    """Height of the output, in pixels."""
    width: PositiveInt
    """Width of the output, in pixels."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"] = "bilinear"
    """Interpolation between pixels."""
    crop_to_aspect_ratio: bool = False
    """Crop the longer side on both ends before resizing, so that the aspect ratio stays."""
    pad_to_aspect_ratio: bool = False
    """Pad the shorter side on both ends before resizing, so that the aspect ratio stays."""
    fill_mode: Literal["constant"] = "constant"
    """Fill of the padding with pad_to_aspect_ratio; only constant is possible, as in Keras."""
    fill_value: float = 0.0
    """Value of the padding with pad_to_aspect_ratio."""
    antialias: bool = False
    """Low-pass filter images that are made smaller, with the interpolation bilinear, bicubic or lanczos."""
    data_format: DataFormat = "channels_last"

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise ValueError("crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other; set one")
        return self

    def size(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        return self.height, self.width

    def change(self, x: Tensor, drawn: None) -> Tensor:
        if self.crop_to_aspect_ratio:
            x = crop_to_aspect_ratio(x, self.height, self.width)
        elif self.pad_to_aspect_ratio:
            x = pad_to_aspect_ratio(x, self.height, self.width, self.fill_value)
        return resized(x, self.height, self.width, self.interpolation, self.antialias)


def resized(x: Tensor, height: int, width: int, interpolation: str, antialias: bool) -> Tensor:
    """Resize images (N, C, H, W) to (N, C, height, width)."""
    if interpolation in ("lanczos3", "lanczos5"):
        return _lanczos(x, height, width, interpolation, antialias)
    smooth = interpolation != "nearest"
    return F.interpolate(
        x,
        (height, width),
        mode=_TORCH_MODES[interpolation],
        align_corners=False if smooth else None,
        antialias=antialias and smooth,
    )


def smart_resize(x: Tensor, height: int, width: int) -> Tensor:
    """Crop images to the largest central part with the aspect ratio of height x width, and resize it bilinearly."""
    x = crop_to_aspect_ratio(x, height, width)
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)


def crop_to_aspect_ratio(x: Tensor, height: int, width: int) -> Tensor:
    """Crop images (N, C, H, W) to the largest central part with the aspect ratio of height x width."""
    rows, columns = x.shape[-2:]
    high = max(min(rows, int(columns * height / width)), 1)
    wide = max(min(columns, int(rows * width / height)), 1)
    top, left = (rows - high) // 2, (columns - wide) // 2
    return x[..., top : top + high, left : left + wide]


def pad_to_aspect_ratio(x: Tensor, height: int, width: int, value: float) -> Tensor:
    """Pad images (N, C, H, W) on both sides to the aspect ratio of height x width."""
    rows, columns = x.shape[-2:]
    top = (max(rows, int(columns * height / width)) - rows) // 2
    left = (max(columns, int(rows * width / height)) - columns) // 2
    return F.pad(x, (left, left, top, top), value=value)


def _lanczos(x: Tensor, height: int, width: int, curve: str, antialias: bool) -> Tensor:
    down = resampling_weights(x, x.shape[-2], height, curve, antialias=antialias)
    across = resampling_weights(x, x.shape[-1], width, curve, antialias=antialias)
    return down.mT @ (x @ across)
