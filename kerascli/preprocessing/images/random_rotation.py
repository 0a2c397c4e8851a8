"""RandomRotation: rotates images about their centre."""

import math

from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import ImageOperation, SignedFactor, Use, operation, signed_span, uniform
from kerascli.preprocessing.images.warp import FillMode, Interpolation, affine


@operation(Use({"factor": 0.1}), Use({"factor": [0.0, 0.25], "fill_mode": "wrap", "interpolation": "nearest"}))
class RandomRotation(ImageOperation):
    """Rotates images about their centre by a random angle in training; positive angles are counter-clockwise.

    Input and output: (N, H, W, C).
    """

    factor: SignedFactor
    """Angle as a fraction of a full turn (2 pi), drawn from -x to x for a number x, or from [lowest, highest]."""
    fill_mode: FillMode = "reflect"
    """Fill outside of the image: its reflection, wrapped copies, fill_value (constant), or the nearest border pixel."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    seed: Seed = None
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        """Draw the rotation angle of each image, in radians (N, 1, 1)."""
        low, high = signed_span(self.factor)
        return uniform(x, (2 * math.pi * low, 2 * math.pi * high), 1, 1)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        cos, sin = drawn.cos(), drawn.sin()
        middle_y, middle_x = ((size - 1) / 2 for size in x.shape[-2:])
        return affine(
            x,
            (cos, -sin, middle_x - middle_x * cos + middle_y * sin),
            (sin, cos, middle_y - middle_x * sin - middle_y * cos),
            interpolation=self.interpolation, fill_mode=self.fill_mode, fill_value=self.fill_value,
        )  # fmt: skip
