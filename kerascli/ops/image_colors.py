"""Operations that convert the colours of images (*, H, W, channels)."""

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, as_float, op
from kerascli.ops.images import of_floats, of_images
from kerascli.preprocessing.images.colors import from_hsv, grayscale, to_hsv


@op("image.rgb_to_grayscale", keeps_integers=True)
def rgb_to_grayscale(images: Tensor) -> Tensor:
    """Convert RGB images (*, H, W, 3) to grayscale (*, H, W, 1); images of one channel are unchanged."""
    if images.ndim and images.shape[-1] not in (1, 3):
        raise ArgumentError(f"image.rgb_to_grayscale needs images of 1 or 3 channels, got {images.shape[-1]}")
    return of_images("image.rgb_to_grayscale", as_float(images), grayscale).to(images.dtype)


@op("image.rgb_to_hsv")
def rgb_to_hsv(images: Tensor) -> Tensor:
    """Convert RGB images (*, H, W, 3) to HSV: hue, saturation and value, from 0 to 1."""
    of_floats("image.rgb_to_hsv", images, 3)
    return of_images("image.rgb_to_hsv", images, lambda x: torch.stack(to_hsv(x), 1))


@op("image.hsv_to_rgb")
def hsv_to_rgb(images: Tensor) -> Tensor:
    """Convert HSV images (*, H, W, 3), from 0 to 1, to RGB."""
    of_floats("image.hsv_to_rgb", images, 3)
    return of_images("image.hsv_to_rgb", images, lambda x: from_hsv(*x.unbind(1)))
