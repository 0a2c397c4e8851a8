"""Resizing and crops of images to a given height and width."""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, PositiveInt, Seed
from kerascli.preprocessing.images.base import ImageOperation, integers, operation
from kerascli.preprocessing.resampling import crop_to_aspect_ratio, pad_to_aspect_ratio, resampling_weights

_TORCH_MODES = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic"}


class SizedOperation(ImageOperation):
    """Base class of image operations whose output has a given height and width."""

    height: PositiveInt
    """Height of the output, in pixels."""
    width: PositiveInt
    """Width of the output, in pixels."""

    def size(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        return self.height, self.width


@operation({"height": 4, "width": 5})
class Resizing(SizedOperation):
    """Resizes images to `height` x `width`, in training and at inference; integers stay integers.

    Input: (N, H, W, C). Output: (N, height, width, C).
    """

    always = True
    keeps_integers = True

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

    def change(self, x: Tensor, drawn: None) -> Tensor:
        crop, padding = self.crop_to_aspect_ratio, self.fill_value if self.pad_to_aspect_ratio else None
        return resized(x, self.height, self.width, self.interpolation, self.antialias, crop=crop, padding=padding)


def resized(
    x: Tensor, height: int, width: int, interpolation: str, antialias: bool, *, crop: bool, padding: float | None
) -> Tensor:
    """Resize images (N, C, H, W) to (N, C, height, width), with `crop` cropped to that aspect ratio before, else padded
    with the value `padding` (None: not padded)."""
    if crop:
        x = crop_to_aspect_ratio(x, height, width)
    elif padding is not None:
        x = pad_to_aspect_ratio(x, height, width, padding)
    if interpolation not in _TORCH_MODES:
        down = resampling_weights(x, x.shape[-2], height, interpolation, antialias=antialias)
        across = resampling_weights(x, x.shape[-1], width, interpolation, antialias=antialias)
        return down.mT @ (x @ across)
    is_antialiased = antialias and interpolation != "nearest"
    return F.interpolate(x, (height, width), mode=_TORCH_MODES[interpolation], antialias=is_antialiased)


def smart_resize(x: Tensor, height: int, width: int) -> Tensor:
    """Crop images to the largest central part with the aspect ratio of height x width, and resize it bilinearly."""
    return resized(x, height, width, "bilinear", antialias=False, crop=True, padding=None)


@operation({"height": 4, "width": 5})
class CenterCrop(SizedOperation):
    """Crops images to their central `height` x `width` pixels, in training and at inference.

    Input: (N, H, W, C). Output: (N, height, width, C). Smaller images are cropped to the aspect ratio and scaled up.
    """

    always = True

    data_format: DataFormat = "channels_last"

    def change(self, x: Tensor, drawn: None) -> Tensor:
        rows, columns = x.shape[-2:]
        if rows < self.height or columns < self.width:
            return smart_resize(x, self.height, self.width)
        top, left = (rows - self.height) // 2, (columns - self.width) // 2
        return x[..., top : top + self.height, left : left + self.width]


@operation({"height": 4, "width": 5})
class RandomCrop(SizedOperation):
    """Crops images to `height` x `width` in training, each at its own random position.

    Input: (N, H, W, C). Output: (N, height, width, C). At inference, and for images that are not larger, the largest
    central part with the right aspect ratio is scaled to that size.
    """

    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the first row (N, 1) and the first column (N, 1) of each image's crop."""
        return _starts(x, x.shape[-2] - self.height), _starts(x, x.shape[-1] - self.width)

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        rows, columns = x.shape[-2:]
        if rows <= self.height or columns <= self.width:
            return self.at_inference(x)
        down = drawn[0] + torch.arange(self.height, device=x.device)
        across = drawn[1] + torch.arange(self.width, device=x.device)
        x = x.gather(2, down[:, None, :, None].expand(-1, x.shape[1], -1, columns))
        return x.gather(3, across[:, None, None, :].expand(-1, x.shape[1], self.height, -1))

    def at_inference(self, x: Tensor) -> Tensor:
        return smart_resize(x, self.height, self.width)


def _starts(x: Tensor, last: int) -> Tensor:
    """Draw one integer from 0 to `last` for each image (N, 1)."""
    return integers(x, 0, max(last, 0), 1).long()
