"""Gaussian blur and sharpness at random; blurs are products with a band matrix along each axis."""

import torch
import torch.nn.functional as F
from pydantic import field_validator
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed, Size2D, ValueRange
from kerascli.preprocessing.images.base import Factor, FactorOperation, ImageOperation, operation, uniform


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


@operation({})
class RandomGaussianBlur(ImageOperation):
    """Blurs some images by a Gaussian in training, with random widths along each axis.

    Input and output: (N, H, W, C).
    """

    factor: Factor = 1.0
    """Probability to blur an image, drawn from 0 to this value, or from [lowest, highest]."""
    kernel_size: Size2D = (3, 3)
    """Size of the blur's window in pixels: one odd integer, or [height, width]."""
    sigma: Factor = 1.0
    """Standard deviation of the Gaussian in pixels, drawn from 0 to this value, or from [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, size: tuple[int, int]) -> tuple[int, int]:
        if size[0] % 2 == 0 or size[1] % 2 == 0:
            raise ValueError(f"must be odd, got {list(size)}")
        return size

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw which images to blur (N, 1, 1, 1), and the standard deviations across and down (N, 2)."""
        return self.selected(x, self.factor), uniform(x, self.sigma, 2) + 1e-6

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        selected, sigma = drawn
        down, across = (size // 2 for size in self.kernel_size)
        blurred = blur(x, gaussian_taps(sigma[:, :1], across), gaussian_taps(sigma[:, 1:], down))
        return torch.where(selected, blurred, x).clamp(*self.value_range)


@operation({"factor": 0.5})
class RandomSharpness(FactorOperation):
    """Sharpens or blurs images in training: factor 0 blurs, 0.5 leaves them as they are, 1 sharpens most.

    Input and output: (N, H, W, C).
    """

    factor: Factor
    """Factor drawn from 0 to this value, or from [lowest, highest]: 0 blurs, 0.5 changes nothing, 1 sharpens most."""

    def draw(self, x: Tensor) -> Tensor:
        return 2 * uniform(x, self.factor)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        # 3 x 3 window of weights 1/13, with 5/13 in the centre; zeros around the image
        smooth = (9 * F.avg_pool2d(x, 3, 1, 1) + 4 * x) / 13
        return (x + (1 - drawn) * (smooth - x)).clamp(*self.value_range)
