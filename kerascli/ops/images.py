"""Operations on images (*, H, W, channels): colours, filters, structural similarity, resizing, padding, cropping."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import Numbers, Refusal, Sizes, as_float, op
from kerascli.preprocessing.images.base import saturated
from kerascli.preprocessing.images.colors import from_hsv, grayscale, to_hsv
from kerascli.preprocessing.images.sizes import resized
from kerascli.preprocessing.resampling import CURVES


def of_images(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `change`, (N, C, H, W) -> (N, C, *), to images (N, H, W, C) or (H, W, C); the result has their dtype."""
    if x.ndim not in (3, 4):
        raise Refusal(f"needs images (batch, height, width, channels), got {x.ndim} axes")
    images = in_full(x) if x.ndim == 4 else in_full(x).unsqueeze(0)
    y = change(images.movedim(-1, 1)).movedim(1, 3)
    y = y if x.ndim == 4 else y.squeeze(0)
    return y.to(x.dtype) if x.is_floating_point() else saturated(y.round(), x.dtype)


def in_full(x: Tensor) -> Tensor:
    """Cast `x` to float32 unless it is float64: half precision is too coarse for coordinates, as are integers."""
    return x if x.dtype == torch.float64 else x.float()


def _check_floats(x: Tensor) -> None:
    """Raise Refusal unless `x` is a float tensor of images with 3 channels."""
    if not x.is_floating_point():
        raise Refusal("needs a float tensor; write cast(x, 'float32') / 255")
    if x.shape[-1] != 3:
        raise Refusal(f"needs images of 3 channels, got {x.shape[-1]}")


@op("image.rgb_to_grayscale", keeps_integers=True)
def rgb_to_grayscale(images: Tensor) -> Tensor:
    """Convert RGB images (*, H, W, 3) to grayscale (*, H, W, 1); images of one channel are unchanged."""
    if images.ndim and images.shape[-1] not in (1, 3):
        raise Refusal(f"needs images of 1 or 3 channels, got {images.shape[-1]}")
    return of_images(as_float(images), grayscale).to(images.dtype)


@op("image.rgb_to_hsv")
def rgb_to_hsv(images: Tensor) -> Tensor:
    """Convert RGB images (*, H, W, 3) to HSV: hue, saturation and value, from 0 to 1."""
    _check_floats(images)
    return of_images(images, lambda x: torch.stack(to_hsv(x), 1))


@op("image.hsv_to_rgb")
def hsv_to_rgb(images: Tensor) -> Tensor:
    """Convert HSV images (*, H, W, 3), from 0 to 1, to RGB."""
    _check_floats(images)
    return of_images(images, lambda x: from_hsv(*x.unbind(1)))


@op("image.gaussian_blur", keeps_integers=True)
def gaussian_blur(images: Tensor, kernel_size: Sizes = (3, 3), sigma: Numbers = (1.0, 1.0)) -> Tensor:
    """Blur images with a Gaussian kernel; sigma is [horizontal, vertical], the padding is zero."""
    if len(kernel_size) != 2 or len(sigma) != 2 or any(size < 1 or size % 2 == 0 for size in kernel_size):
        raise Refusal("kernel_size and sigma: expected two numbers each, odd ones for kernel_size")
    if min(sigma) <= 0:
        raise Refusal(f"sigma: expected two numbers above 0, got {list(sigma)}", "sigma")

    def change(x: Tensor) -> Tensor:
        across, down = (_taps(x, size, width) for size, width in zip(kernel_size, sigma, strict=True))
        return _filtered(F.pad(x, [n for size in kernel_size for n in (size // 2, size // 2)]), across, down)

    return of_images(images, change)


@op("image.sobel_edges")
def sobel_edges(images: Tensor) -> Tensor:
    """Compute the Sobel gradients of images, vertical and horizontal: (N, H, W, channels, 2)."""

    def change(x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1))
        across, down = x[..., 2:] - x[..., :-2], x[..., 2:, :] - x[..., :-2, :]
        across = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
        down = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
        return torch.stack([down, across], -1)

    return of_images(images, change)


@op("image.ssim")
def ssim(
    image1: Tensor, image2: Tensor, max_val: float = 1.0, filter_size: int = 11, filter_sigma: float = 1.5,
    k1: float = 0.01, k2: float = 0.03,
) -> Tensor:  # fmt: skip
    """Compute the structural similarity (SSIM) of two images per sample; 1 for equal images."""
    if image1.shape != image2.shape or image1.ndim not in (3, 4):
        raise Refusal("needs two tensors (batch, height, width, channels) of one shape")
    if not 1 <= filter_size <= min(image1.shape[-3:-1]):
        raise Refusal(f"filter_size: expected 1 to the images' size, got {filter_size}")
    x, y = (as_float(image).reshape(-1, *image1.shape[-3:]).movedim(-1, 1) for image in (image1, image2))
    taps = _taps(x, filter_size, filter_sigma)
    a, b, xx, yy, xy = (_filtered(z, taps, taps) for z in (x, y, x * x, y * y, x * y))
    luminance, contrast = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    above = (2 * a * b + luminance) * (2 * (xy - a * b) + contrast)
    below = (a * a + b * b + luminance) * (xx - a * a + yy - b * b + contrast)
    similarity = (above / below).mean((1, 2, 3))
    return similarity if image1.ndim == 4 else similarity.squeeze(0)


def _taps(x: Tensor, size: int, sigma: float) -> Tensor:
    """Return a Gaussian kernel of `size` weights that sum to 1."""
    taps = torch.exp(-0.5 * ((torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2) / sigma) ** 2)
    return taps / taps.sum()


def _filtered(x: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Apply a separable filter (kernels `across` and `down`) to images (N, C, H, W), one axis after the other."""
    y = x.flatten(0, 1).unsqueeze(1)
    y = F.conv2d(F.conv2d(y, across.view(1, 1, 1, -1)), down.view(1, 1, -1, 1))
    return y.squeeze(1).unflatten(0, x.shape[:2])


@op("image.resize", keeps_integers=True)
def resize(
    images: Tensor, size: Sizes,
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"] = "bilinear",
    antialias: bool = False, crop_to_aspect_ratio: bool = False, pad_to_aspect_ratio: bool = False,
    fill_mode: Literal["constant"] = "constant", fill_value: float = 0.0,
) -> Tensor:  # fmt: skip
    """Resize images to [height, width]; optionally crop or pad them first to keep the aspect ratio."""
    if len(size) != 2 or min(size) < 1:
        raise Refusal(f"size: expected [height, width], got {list(size)}", "size")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise Refusal("crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other")

    height, width, crop, padding = *size, crop_to_aspect_ratio, fill_value if pad_to_aspect_ratio else None
    return of_images(images, lambda x: resized(x, height, width, interpolation, antialias, crop=crop, padding=padding))


@op("image.pad_images", keeps_integers=True)
def pad_images(
    images: Tensor, top_padding: int | None = None, left_padding: int | None = None, bottom_padding: int | None = None,
    right_padding: int | None = None, target_height: int | None = None, target_width: int | None = None,
) -> Tensor:  # fmt: skip
    """Pad images with zeros. For each axis, give two of: padding before, padding after, target size."""
    top, bottom = _both_ends("pad", images, -3, top_padding, bottom_padding, target_height)
    left, right = _both_ends("pad", images, -2, left_padding, right_padding, target_width)
    return F.pad(images, (0, 0, left, right, top, bottom))


@op("image.crop_images", keeps_integers=True)
def crop_images(
    images: Tensor, top_cropping: int | None = None, left_cropping: int | None = None,
    bottom_cropping: int | None = None, right_cropping: int | None = None, target_height: int | None = None,
    target_width: int | None = None,
) -> Tensor:  # fmt: skip
    """Crop images. For each axis, give two of: cropping before, cropping after, target size."""
    top, bottom = _both_ends("crop", images, -3, top_cropping, bottom_cropping, target_height)
    left, right = _both_ends("crop", images, -2, left_cropping, right_cropping, target_width)
    return images[..., top : images.shape[-3] - bottom, left : images.shape[-2] - right, :]


def _both_ends(
    verb: str, images: Tensor, axis: int, before: int | None, after: int | None, target: int | None
) -> tuple[int, int]:
    """Return the padding or cropping of images before and after an axis, from two of three values.

    These are the sizes before and after, and the target size.
    """
    size, sign = images.shape[axis], 1 if verb == "pad" else -1
    ends = ("top", "bottom", "height") if axis == -3 else ("left", "right", "width")
    if sum(value is None for value in (before, after, target)) != 1:
        raise Refusal(f"expected two of {ends[0]}, {ends[1]} and target_{ends[2]}")
    total = sign * (target - size) if target is not None else 0
    first = before if before is not None else total - (after or 0)
    last = after if after is not None else total - (before or 0)
    if min(first, last) < 0 or size + sign * (first + last) < 0:
        raise Refusal(f"cannot {verb} an axis of {size} by {first} and {last}")
    return first, last


_Method = Literal["linear", "bilinear", "trilinear", "cubic", "bicubic", "tricubic", "lanczos3", "lanczos5"]


@op("image.scale_and_translate", keeps_integers=True)
def scale_and_translate(
    images: Tensor, output_shape: Sizes, scale: Tensor, translation: Tensor, spatial_dims: Sizes, method: _Method,
    antialias: bool = True,
) -> Tensor:  # fmt: skip
    """Scale and translate images by one number for each of the axes `spatial_dims`; values outside an image are 0."""
    curve = CURVES[method if method in CURVES else f"bi{method.removeprefix('tri')}"]
    if len(output_shape) != images.ndim:
        raise Refusal(f"output_shape: expected {images.ndim} sizes")
    if not scale.shape == translation.shape == (len(spatial_dims),):
        raise Refusal("scale and translation: expected a number for each spatial dim")
    y = in_full(images)
    for scaled, moved, axis in zip(scale.unbind(), translation.unbind(), spatial_dims, strict=True):
        weights = _weights(y, images.shape[axis], output_shape[axis], scaled, moved, curve, antialias)
        y = torch.tensordot(y, weights, ([axis], [0])).movedim(-1, axis)  # type: ignore[arg-type]
    if images.is_floating_point():
        return y.to(images.dtype)
    return saturated(y.round().clamp(images.amin(), images.amax()), images.dtype)


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
