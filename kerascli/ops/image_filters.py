"""Operations that filter images (N, H, W, channels) per channel, and their structural similarity."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import ArgumentError, Numbers, Sizes, as_float, op
from kerascli.ops.images import of_images


@op("image.gaussian_blur", keeps_integers=True)
def gaussian_blur(images: Tensor, kernel_size: Sizes = (3, 3), sigma: Numbers = (1.0, 1.0)) -> Tensor:
    """Blur images with a Gaussian kernel; sigma is [horizontal, vertical], the padding is zero."""
    if len(kernel_size) != 2 or len(sigma) != 2 or any(size < 1 or size % 2 == 0 for size in kernel_size):
        raise ArgumentError(
            "image.gaussian_blur: kernel_size and sigma: expected two numbers each, odd ones for kernel_size"
        )
    if min(sigma) <= 0:
        raise ArgumentError(f"image.gaussian_blur: sigma: expected two numbers above 0, got {list(sigma)}", "sigma")

    def change(x: Tensor) -> Tensor:
        across, down = (_taps(x, size, width) for size, width in zip(kernel_size, sigma, strict=True))
        return _filtered(F.pad(x, [n for size in kernel_size for n in (size // 2, size // 2)]), across, down)

    return of_images("image.gaussian_blur", images, change)


@op("image.sobel_edges")
def sobel_edges(images: Tensor) -> Tensor:
    """Compute the Sobel gradients of images, vertical and horizontal: (N, H, W, channels, 2)."""

    def change(x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1))
        across, down = x[..., 2:] - x[..., :-2], x[..., 2:, :] - x[..., :-2, :]
        across = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
        down = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
        return torch.stack([down, across], -1)

    return of_images("image.sobel_edges", images, change)


@op("image.ssim")
def ssim(
    image1: Tensor, image2: Tensor, max_val: float = 1.0, filter_size: int = 11, filter_sigma: float = 1.5,
    k1: float = 0.01, k2: float = 0.03,
) -> Tensor:  # fmt: skip
    """Compute the structural similarity (SSIM) of two images per sample; 1 for equal images."""
    if image1.shape != image2.shape or image1.ndim not in (3, 4):
        raise ArgumentError("image.ssim needs two tensors (batch, height, width, channels) of one shape")
    if not 1 <= filter_size <= min(image1.shape[-3:-1]):
        raise ArgumentError(f"image.ssim: filter_size: expected 1 to the images' size, got {filter_size}")
    x, y = (as_float(image).reshape(-1, *image1.shape[-3:]).movedim(-1, 1) for image in (image1, image2))
    taps = _taps(x, filter_size, filter_sigma)
    means = [_filtered(z, taps, taps) for z in (x, y, x * x, y * y, x * y)]
    a, b = means[0], means[1]
    luminance, contrast = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    above = (2 * a * b + luminance) * (2 * (means[4] - a * b) + contrast)
    below = (a * a + b * b + luminance) * (means[2] - a * a + means[3] - b * b + contrast)
    found = (above / below).mean((1, 2, 3))
    return found if image1.ndim == 4 else found.squeeze(0)


def _taps(x: Tensor, size: int, sigma: float) -> Tensor:
    """Return a Gaussian kernel of `size` weights that sum to 1."""
    offset = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
    taps = torch.exp(-0.5 * (offset / sigma) ** 2)
    return taps / taps.sum()


def _filtered(x: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Apply a separable filter (kernels `across` and `down`) to images (N, C, H, W), one axis after the other."""
    y = x.flatten(0, 1).unsqueeze(1)
    y = F.conv2d(F.conv2d(y, across.view(1, 1, 1, -1)), down.view(1, 1, -1, 1))
    return y.squeeze(1).unflatten(0, x.shape[:2])
