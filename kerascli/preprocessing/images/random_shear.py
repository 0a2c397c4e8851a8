"""RandomShear: shears images."""

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, operation, signed_span, uniform
from kerascli.preprocessing.images.warp import FillMode, Interpolation, affine


@operation(
    Use({"x_factor": 0.2, "y_factor": 0.1}),
    Use({"x_factor": [0.1, 0.3], "interpolation": "nearest", "fill_mode": "constant", "fill_value": 1.0}),
)
class RandomShear(ImageOperation):
    """Shears images in training: rows shift sideways and columns vertically, in proportion to their index.

    Input and output: (N, H, W, C).
    """

    x_factor: Factor = 0.0
    """Horizontal shift per row, drawn from -x to x for a number x, or from [lowest, highest] with a random sign."""
    y_factor: Factor = 0.0
    """Vertical shift per column, drawn from -x to x for a number x, or from [lowest, highest] with a random sign."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    fill_mode: FillMode = "reflect"
    """Fill outside of the image: its reflection, wrapped copies, fill_value (constant), or the nearest border pixel."""
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the horizontal and vertical shift of each image (N, 1, 1), with one random sign for both."""
        sign = torch.where(uniform(x, (0, 1), 1, 1) > 0.5, -1.0, 1.0)
        across, down = (uniform(x, signed_span(factor), 1, 1) for factor in (self.x_factor, self.y_factor))
        return sign * across, sign * down

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        across, down = drawn
        return affine(
            x, (1, across, 0), (down, 1, 0),
            interpolation=self.interpolation, fill_mode=self.fill_mode, fill_value=self.fill_value,
        )  # fmt: skip
