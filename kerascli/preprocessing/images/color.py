"""Colour conversions of images: grayscale, HSV (hue, saturation, value), and rescaling of value ranges."""

import torch
from torch import Tensor

from kerascli.preprocessing.images.base import Span


def rescaled(x: Tensor, old: Span, new: Span) -> Tensor:
    """Rescale pixel values linearly from one range to another."""
    if old == new:
        return x
    return (x - old[0]) / (old[1] - old[0]) * (new[1] - new[0]) + new[0]


def grayscale(x: Tensor) -> Tensor:
    """Convert images (N, 3, H, W) to grayscale (N, 1, H, W) by ITU-R BT.601's weights; images of one channel stay."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)


def to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Convert RGB images (N, 3, H, W) to hue, saturation and value (N, H, W) each; hues are from 0 to 1, red is 0."""
    red, green, blue = torch.where(x.abs() < torch.finfo(x.dtype).eps, 0.0, x).unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    saturation = torch.where(value > 0, chroma / torch.where(value > 0, value, 1.0), 0.0)
    unit = 1 / (6 * torch.where(chroma > 0, chroma, 1.0))
    hue = torch.where(value == green, unit * (blue - red) + 1 / 3, unit * (red - green) + 2 / 3)
    hue = torch.where(value == red, unit * (green - blue), hue)
    return torch.where(chroma > 0, hue, 0.0) + (hue < 0), saturation, value


def from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Convert hue, saturation and value (N, H, W) back to RGB images (N, 3, H, W)."""
    sixth = hue.remainder(1.0) * 6
    red = ((sixth - 3).abs() - 1).clamp(0, 1)
    green = (2 - (sixth - 2).abs()).clamp(0, 1)
    blue = (2 - (sixth - 4).abs()).clamp(0, 1)
    return torch.stack([value * (1 - saturation + saturation * part) for part in (red, green, blue)], 1)
