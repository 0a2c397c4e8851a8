"""Operations that resize, pad and crop images (*, H, W, channels)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import ArgumentError, Sizes, as_float, op
from kerascli.ops.images import in_full, of_images, one_of
from kerascli.preprocessing.images.base import saturated
from kerascli.preprocessing.images.sizes import INTERPOLATIONS, resized
from kerascli.preprocessing.images.sizes import crop_to_aspect_ratio as cropped
from kerascli.preprocessing.images.sizes import pad_to_aspect_ratio as padded
from kerascli.preprocessing.resampling import CURVES


@op("image.resize", keeps_integers=True)
def resize(
    images: Tensor, size: Sizes, interpolation: str = "bilinear", antialias: bool = False,
    crop_to_aspect_ratio: bool = False, pad_to_aspect_ratio: bool = False, fill_mode: str = "constant",
    fill_value: float = 0.0,
) -> Tensor:  # fmt: skip
    """Resize images to [height, width]; optionally crop or pad them first to keep the aspect ratio."""
    if len(size) != 2 or min(size) < 1:
        raise ArgumentError(f"image.resize: size: expected [height, width], got {list(size)}", "size")
    one_of("image.resize", "interpolation", interpolation, INTERPOLATIONS)
    one_of("image.resize", "fill_mode", fill_mode, ("constant",))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("image.resize: crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other")

    def change(x: Tensor) -> Tensor:
        if crop_to_aspect_ratio:
            x = cropped(x, size[0], size[1])
        elif pad_to_aspect_ratio:
            x = padded(x, size[0], size[1], fill_value)
        return resized(x, size[0], size[1], interpolation, antialias)

    return of_images("image.resize", images, change)


@op("image.pad_images", keeps_integers=True)
def pad_images(
    images: Tensor, top_padding: int | None = None, left_padding: int | None = None, bottom_padding: int | None = None,
    right_padding: int | None = None, target_height: int | None = None, target_width: int | None = None,
) -> Tensor:  # fmt: skip
    """Pad images with zeros. For each axis, give two of: padding before, padding after, target size."""
    height, width = images.shape[-3:-1]
    top, bottom = _both_ends("pad_images", "height", top_padding, bottom_padding, target_height, height, 1)
    left, right = _both_ends("pad_images", "width", left_padding, right_padding, target_width, width, 1)
    return F.pad(images, (0, 0, left, right, top, bottom))


@op("image.crop_images", keeps_integers=True)
def crop_images(
    images: Tensor, top_cropping: int | None = None, left_cropping: int | None = None,
    bottom_cropping: int | None = None, right_cropping: int | None = None, target_height: int | None = None,
    target_width: int | None = None,
) -> Tensor:  # fmt: skip
    """Crop images. For each axis, give two of: cropping before, cropping after, target size."""
    height, width = images.shape[-3:-1]
    top, bottom = _both_ends("crop_images", "height", top_cropping, bottom_cropping, target_height, height, -1)
    left, right = _both_ends("crop_images", "width", left_cropping, right_cropping, target_width, width, -1)
    return images[..., top : height - bottom, left : width - right, :]


def _both_ends(
    name: str, axis: str, before: int | None, after: int | None, target: int | None, size: int, sign: int
) -> tuple[int, int]:
    """Return the padding (sign 1) or cropping (sign -1) of images before and after an axis, from two of three values.

    These are the sizes before and after, and the target size.
    """
    ends = ("top", "bottom") if axis == "height" else ("left", "right")
    if sum(value is None for value in (before, after, target)) != 1:
        text = f"image.{name}: expected two of {ends[0]}, {ends[1]} and target_{axis}"
        raise ArgumentError(text)
    total = sign * (target - size) if target is not None else 0
    first = before if before is not None else total - (after or 0)
    last = after if after is not None else total - (before or 0)
    if min(first, last) < 0 or size + sign * (first + last) < 0:
        raise ArgumentError(f"image.{name}: cannot {name.partition('_')[0]} an axis of {size} by {first} and {last}")
    return first, last


@op("image.scale_and_translate", keeps_integers=True)
def scale_and_translate(
    images: Tensor, output_shape: Sizes, scale: Tensor, translation: Tensor, spatial_dims: Sizes, method: str,
    antialias: bool = True,
) -> Tensor:  # fmt: skip
    """Scale and translate images by one number for each of the axes `spatial_dims`; values outside an image are 0."""
    one_of("image.scale_and_translate", "method", method, tuple(_METHODS))
    curve = CURVES[_METHODS[method]]
    if len(output_shape) != images.ndim:
        raise ArgumentError(f"image.scale_and_translate: output_shape: expected {images.ndim} sizes")
    if not scale.shape == translation.shape == (len(spatial_dims),):
        raise ArgumentError("image.scale_and_translate: scale and translation: expected a number for each spatial dim")
    y = in_full(images)
    for scaled, moved, axis in zip(scale.unbind(), translation.unbind(), spatial_dims, strict=True):
        weights = _weights(y, images.shape[axis], output_shape[axis], scaled, moved, curve, antialias)
        y = torch.tensordot(y, weights, ([axis], [0])).movedim(-1, axis)  # type: ignore[arg-type]
    if images.is_floating_point():
        return y.to(images.dtype)
    return saturated(y.round().clamp(images.amin(), images.amax()), images.dtype)


_METHODS = {
    "linear": "bilinear", "bilinear": "bilinear", "trilinear": "bilinear", "cubic": "bicubic", "bicubic": "bicubic",
    "tricubic": "bicubic", "lanczos3": "lanczos3", "lanczos5": "lanczos5",
}  # fmt: skip
_NOTHING = 1000 * torch.finfo(torch.float32).eps
"""Minimum sum of an output pixel's weights; below it, no input pixel contributes to the output."""


def _weights(
    x: Tensor, size: int, new: int, scale: Tensor, moved: Tensor, curve: Callable[[Tensor], Tensor], antialias: bool
) -> Tensor:
    """Return the resampling weights (size, new) of each input pixel in each output pixel, along one axis."""
    back = 1 / as_float(scale).to(x.dtype)
    place = (torch.arange(new, dtype=x.dtype, device=x.device) + 0.5 - moved) * back - 0.5
    pixel = torch.arange(size, dtype=x.dtype, device=x.device).unsqueeze(1)
    weights = curve((place - pixel).abs() / (back.clamp(min=1.0) if antialias else 1.0))
    total = weights.sum(0, keepdim=True)
    weights = torch.where(total.abs() > _NOTHING, weights / torch.where(total != 0, total, 1.0), 0.0)
    return torch.where((place >= -0.5) & (place <= size - 0.5), weights, 0.0)
