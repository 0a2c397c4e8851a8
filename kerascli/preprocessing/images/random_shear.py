"""RandomShear: images pushed askew."""

import torch
from torch import Tensor

from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, operation, signed_span, uniform
from kerascli.preprocessing.images.warp import FillMode, Interpolation, affine
from kerascli.shapes import DataFormat, Seed


@operation(
    Use({"x_factor": 0.2, "y_factor": 0.1}),
    Use({"x_factor": [0.1, 0.3], "interpolation": "nearest", "fill_mode": "constant", "fill_value": 1.0}),
)
class RandomShear(ImageOperation):
    """Shears images while training: rows are moved sideways and columns up, the more the further from the corner."""

    x_factor: Factor = 0.0
    """How far sideways a row moves for each row above it at most, to both sides; or [least, most]."""
    y_factor: Factor = 0.0
    """How far up a column moves for each column left of it at most, or down; or [least, most]."""
    interpolation: Interpolation = "bilinear"
    """How values between pixels are found."""
    fill_mode: FillMode = "reflect"
    """What lies outside of an image: its reflection, its copies, fill_value, or its border drawn out."""
    fill_value: float = 0.0
    """What lies outside with fill_mode constant."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Sideways and up (N, 1, 1); one sign for both."""
        sign = torch.where(uniform(x, (0, 1), 1, 1) > 0.5, -1.0, 1.0)
        across, down = (uniform(x, signed_span(factor), 1, 1) for factor in (self.x_factor, self.y_factor))
        return sign * across, sign * down

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        across, down = drawn
        return affine(
            x, (1, across, 0), (down, 1, 0),
            interpolation=self.interpolation, fill_mode=self.fill_mode, fill_value=self.fill_value,
        )  # fmt: skip
