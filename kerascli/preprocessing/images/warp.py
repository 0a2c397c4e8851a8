"""Geometric transforms of images: each output pixel is sampled from its source position in the input."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["nearest", "bilinear"]
FillMode = Literal["reflect", "wrap", "constant", "nearest"]

_OUTSIDE = {
    "constant": "zeros", "nearest": "border", "wrap": "border", "reflect": "reflection", "mirror": "reflection",
}  # fmt: skip

Row = tuple[Tensor | float, Tensor | float, Tensor | float]


def pixels(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixel positions of images: horizontal (1, 1, W) and vertical (1, H, 1)."""
    height, width = x.shape[-2:]
    across, down = (torch.arange(size, dtype=x.dtype, device=x.device) for size in (width, height))
    return across.view(1, 1, -1), down.view(1, -1, 1)


def affine(
    x: Tensor, across: Row, down: Row, *, interpolation: Interpolation, fill_mode: FillMode, fill_value: float
) -> Tensor:
    """Transform images: output pixel (i, j) is sampled at the dot products of `across` and `down` with (i, j, 1).

    Coefficients are (N, 1, 1) or numbers.
    """
    i, j = pixels(x)
    source = [a * i + b * j + c for a, b, c in (across, down)]
    return warp(x, *source, interpolation=interpolation, fill_mode=fill_mode, fill_value=fill_value)


def warp(
    x: Tensor,
    across: Tensor,
    down: Tensor,
    *,
    interpolation: Interpolation,
    fill_mode: FillMode | Literal["mirror"],
    fill_value: float,
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
    grid = torch.stack(
        torch.broadcast_tensors(_normalized(across, width, corners), _normalized(down, height, corners)), -1
    )
    shift = fill_value if fill_mode == "constant" else 0.0
    moved = F.grid_sample(
        x - shift if shift else x,
        grid.expand(x.shape[0], -1, -1, -1),
        mode=interpolation,
        padding_mode=_OUTSIDE[fill_mode],
        align_corners=corners,
    )
    return moved + shift if shift else moved


def _normalized(places: Tensor, size: int, corners: bool) -> Tensor:
    """Convert pixel positions to the coordinates of torch's grid_sample, from -1 to 1."""
    return places * (2 / max(size - 1, 1)) - 1 if corners else (places * 2 + 1) / size - 1
