"""Resample images: by weighted means of neighbouring pixels, one axis after the other, or at any positions.

As in TensorFlow and JAX, the weights of pixels outside of the image go to those inside. torch's bicubic has another
curve and repeats the border; torch has no Lanczos.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["nearest", "bilinear"]
FillMode = Literal["reflect", "wrap", "constant", "nearest"]
AnyFillMode = FillMode | Literal["mirror"]

_OUTSIDE = {
    "constant": "zeros", "nearest": "border", "wrap": "border", "reflect": "reflection", "mirror": "reflection",
}  # fmt: skip


def resampling_weights(x: Tensor, size: int, new: int, curve: str, *, antialias: bool = False) -> Tensor:
    """Return weights (size, new) of input pixels in output pixels along an axis; `antialias` widens the kernel."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    scale = size / new
    place = (torch.arange(new, dtype=dtype, device=x.device) + 0.5) * scale - 0.5
    pixel = torch.arange(size, dtype=dtype, device=x.device).unsqueeze(1)
    weights = CURVES[curve]((place - pixel).abs() / (max(scale, 1.0) if antialias else 1.0))
    return (weights / weights.sum(0, keepdim=True)).to(x.dtype)


def _keys_cubic(x: Tensor) -> Tensor:
    """Compute the cubic convolution kernel with a = -1/2.

    Keys, "Cubic convolution interpolation for digital image processing" (1981).
    """
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, far) * (x < 2)


def _lanczos(x: Tensor, radius: int) -> Tensor:
    wave = radius * torch.sin(math.pi * x) * torch.sin(math.pi * x / radius)
    near = x <= 1e-3
    return torch.where(near, 1.0, wave / torch.where(near, 1.0, (math.pi * x) ** 2)) * (x <= radius)


CURVES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "bilinear": lambda x: (1 - x).clamp(min=0),
    "bicubic": _keys_cubic, "lanczos3": partial(_lanczos, radius=3), "lanczos5": partial(_lanczos, radius=5),
}  # fmt: skip


def pixels(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixel positions of images: horizontal (1, 1, W) and vertical (1, H, 1)."""
    height, width = x.shape[-2:]
    across, down = (torch.arange(size, dtype=x.dtype, device=x.device) for size in (width, height))
    return across.view(1, 1, -1), down.view(1, -1, 1)


def warp(
    x: Tensor, across: Tensor, down: Tensor, interpolation: Interpolation, fill_mode: AnyFillMode, fill_value: float
) -> Tensor:
    """Sample images at the positions `across` and `down` (N, H, W) with torch's sampler and Keras's fill modes."""
    if interpolation == "nearest":
        across, down = across.round(), down.round()
    height, width = x.shape[-2:]
    if fill_mode == "wrap":  # one pixel is added, for positions between the last pixel and the first of the next copy
        across, down = across.remainder(width), down.remainder(height)
        x = F.pad(x, (0, 1, 0, 1), mode="circular")
        height, width = height + 1, width + 1
    corners = fill_mode == "mirror"  # reflected about the border pixels' centres, not their outer edges
    places = _normalized(across, width, corners), _normalized(down, height, corners)
    grid = torch.stack(torch.broadcast_tensors(*places), -1)
    shift = fill_value if fill_mode == "constant" else 0.0
    x, grid = x - shift if shift else x, grid.expand(x.shape[0], -1, -1, -1)
    moved = F.grid_sample(x, grid, mode=interpolation, padding_mode=_OUTSIDE[fill_mode], align_corners=corners)
    return moved + shift if shift else moved


def _normalized(places: Tensor, size: int, corners: bool) -> Tensor:
    """Convert pixel positions to the coordinates of torch's grid_sample, from -1 to 1."""
    return places * (2 / max(size - 1, 1)) - 1 if corners else (places * 2 + 1) / size - 1


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
