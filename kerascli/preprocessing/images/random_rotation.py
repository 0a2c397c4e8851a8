"""RandomRotation: images turned about their middle."""

import math

from torch import Tensor

from kerascli.preprocessing.images.base import ImageOperation, SignedFactor, Use, operation, signed_span, uniform
from kerascli.preprocessing.images.warp import FillMode, Interpolation, affine
from kerascli.shapes import DataFormat, Seed


@operation(Use({"factor": 0.1}), Use({"factor": [0.0, 0.25], "fill_mode": "wrap", "interpolation": "nearest"}))
class RandomRotation(ImageOperation):
    """Turns images about their middle while training; positive angles turn counter-clockwise."""

    factor: SignedFactor
    """The largest angle as a fraction of a full turn, to both sides; or [lowest, highest]."""
    fill_mode: FillMode = "reflect"
    """What lies outside of an image: its reflection, its copies, fill_value, or its border drawn out."""
    interpolation: Interpolation = "bilinear"
    """How values between pixels are found."""
    seed: Seed = None
    fill_value: float = 0.0
    """What lies outside with fill_mode constant."""
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        """Angles in radians (N, 1, 1)."""
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
