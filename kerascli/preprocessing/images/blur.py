"""Gaussian blur with a separate width for each sample, as a product with a band matrix along each axis."""

import torch
from torch import Tensor


def gaussian_taps(sigma: Tensor, radius: int, reach: Tensor | None = None) -> Tensor:
    """Return Gaussian weights (N, 2 * radius + 1), sum 1, for sigma (N, 1); `reach` (N, 1) limits a sample's radius."""
    offset = torch.arange(-radius, radius + 1, dtype=sigma.dtype, device=sigma.device)
    taps = torch.exp(-0.5 * (offset / sigma) ** 2)
    if reach is not None:
        taps = taps * (offset.abs() <= reach)
    return taps / taps.sum(-1, keepdim=True)


def blur(x: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Convolve images (N, C, H, W) with each sample's weights (N, K) along each axis, padding with zeros."""
    height, width = x.shape[-2:]
    return _band(down, height).unsqueeze(1) @ (x @ _band(across, width).unsqueeze(1))


def _band(taps: Tensor, size: int) -> Tensor:
    """Convert a blur's weights (N, K) to band matrices (N, size, size): the weight of pixel i for pixel j."""
    radius = taps.shape[-1] // 2
    place = torch.arange(size, device=taps.device)
    offset = place.unsqueeze(1) - place
    return taps[:, (offset + radius).clamp(0, 2 * radius)] * (offset.abs() <= radius)
