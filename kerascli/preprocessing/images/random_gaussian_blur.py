"""RandomGaussianBlur: blurs images at random."""

import torch
from pydantic import field_validator
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed, Size2D
from kerascli.preprocessing.images.base import (
    Factor,
    ImageOperation,
    Use,
    ValueRange,
    draw_selected,
    operation,
    span,
    uniform,
)
from kerascli.preprocessing.images.blur import blur, gaussian_taps


@operation(Use(), Use({"factor": [0.5, 1.0], "kernel_size": [3, 5], "sigma": [0.5, 0.9], "value_range": [0.0, 1.0]}))
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
        return draw_selected(x, self.factor), uniform(x, span(self.sigma), 2) + 1e-6

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        selected, sigma = drawn
        down, across = (size // 2 for size in self.kernel_size)
        blurred = blur(x, gaussian_taps(sigma[:, :1], across), gaussian_taps(sigma[:, 1:], down))
        return torch.where(selected, blurred, x).clamp(*self.value_range)
