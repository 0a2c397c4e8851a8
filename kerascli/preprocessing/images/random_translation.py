"""RandomTranslation: images moved."""

from torch import Tensor

from kerascli.preprocessing.images.base import ImageOperation, SignedFactor, Use, operation, signed_span, uniform
from kerascli.preprocessing.images.warp import FillMode, Interpolation, affine
from kerascli.shapes import DataFormat, Seed


@operation(
    Use({"height_factor": 0.2, "width_factor": 0.1}),
    Use({"height_factor": 0.2, "width_factor": [-0.3, 0.1], "fill_mode": "constant", "interpolation": "nearest"}),
)
class RandomTranslation(ImageOperation):
    """Moves images while training, by fractions of their height and width; down and to the right are positive."""

    height_factor: SignedFactor
    """How far down at most, as a fraction of the height; a number means as far up; or [least, most]."""
    width_factor: SignedFactor
    """How far to the right at most, as a fraction of the width; a number means as far left; or [least, most]."""
    fill_mode: FillMode = "reflect"
    """What lies outside of an image: its reflection, its copies, fill_value, or its border drawn out."""
    interpolation: Interpolation = "bilinear"
    """How values between pixels are found."""
    seed: Seed = None
    fill_value: float = 0.0
    """What lies outside with fill_mode constant."""
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels down and to the right (N, 1, 1)."""
        height, width = x.shape[-2:]
        down, right = (uniform(x, signed_span(factor), 1, 1) for factor in (self.height_factor, self.width_factor))
        return down * height, right * width

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        down, right = drawn
        return affine(
            x, (1, 0, -right), (0, 1, -down),
            interpolation=self.interpolation, fill_mode=self.fill_mode, fill_value=self.fill_value,
        )  # fmt: skip
