"""RandomTranslation: shifts images."""

from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import ImageOperation, SignedFactor, Use, operation, signed_span, uniform
from kerascli.preprocessing.images.warp import FillMode, Interpolation, affine


@operation(
    Use({"height_factor": 0.2, "width_factor": 0.1}),
    Use({"height_factor": 0.2, "width_factor": [-0.3, 0.1], "fill_mode": "constant", "interpolation": "nearest"}),
)
class RandomTranslation(ImageOperation):
    """Shifts images in training, by random fractions of their height and width; positive is down and right.

    Input and output: (N, H, W, C).
    """

    height_factor: SignedFactor
    """Shift down as a fraction of the height, drawn from -x to x for a number x, or from [lowest, highest]."""
    width_factor: SignedFactor
    """Shift right as a fraction of the width, drawn from -x to x for a number x, or from [lowest, highest]."""
    fill_mode: FillMode = "reflect"
    """Fill outside of the image: its reflection, wrapped copies, fill_value (constant), or the nearest border pixel."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    seed: Seed = None
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the shifts of each image down and to the right, in pixels (N, 1, 1)."""
        height, width = x.shape[-2:]
        down, right = (uniform(x, signed_span(factor), 1, 1) for factor in (self.height_factor, self.width_factor))
        return down * height, right * width

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        down, right = drawn
        return affine(
            x, (1, 0, -right), (0, 1, -down),
            interpolation=self.interpolation, fill_mode=self.fill_mode, fill_value=self.fill_value,
        )  # fmt: skip
