"""Resample images by weighted means of neighbouring pixels, one axis after the other.

As in TensorFlow and JAX, the weights of pixels outside of the image go to those inside. torch's bicubic has another
curve and repeats the border; torch has no Lanczos.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def resampling_weights(x: Tensor, size: int, new: int, curve: str, *, antialias: bool = False) -> Tensor:
    """Return weights (size, new) of input pixels in output pixels along an axis; `antialias` widens the kernel."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    scale = size / new
    place = (torch.arange(new, dtype=dtype, device=x.device) + 0.5) * scale - 0.5
    pixel = torch.arange(size, dtype=dtype, device=x.device).unsqueeze(1)
    distance = (place - pixel).abs() / (max(scale, 1.0) if antialias else 1.0)
    weights = CURVES[curve](distance)
    return (weights / weights.sum(0, keepdim=True)).to(x.dtype)


def _keys_cubic(x: Tensor) -> Tensor:
    """Compute the cubic convolution kernel with a = -1/2.

    Keys, "Cubic convolution interpolation for digital image processing" (1981).
    """
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, far) * (x < 2)


def _lanczos(radius: int) -> Callable[[Tensor], Tensor]:
    def curve(x: Tensor) -> Tensor:
        wave = radius * torch.sin(math.pi * x) * torch.sin(math.pi * x / radius)
        near = x <= 1e-3
        return torch.where(near, 1.0, wave / torch.where(near, 1.0, (math.pi * x) ** 2)) * (x <= radius)

    return curve


CURVES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "bilinear": lambda x: (1 - x).clamp(min=0),
    "bicubic": _keys_cubic, "lanczos3": _lanczos(3), "lanczos5": _lanczos(5),
}  # fmt: skip
