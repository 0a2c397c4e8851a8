"""RandomZoom: zooms images in or out."""

from typing import Annotated

from pydantic import AfterValidator
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import ImageOperation, SignedFactor, Use, operation, signed_span, uniform
from kerascli.preprocessing.images.warp import FillMode, Interpolation, affine


def _not_endless(factor: float | tuple[float, float]) -> float | tuple[float, float]:
    if -1.0 in (factor if isinstance(factor, tuple) else (factor,)):
        raise ValueError("must be above -1: at -1 a single point would fill the image")
    return factor


ZoomFactor = Annotated[SignedFactor, AfterValidator(_not_endless)]


@operation(
    Use({"height_factor": 0.2}),
    Use({"height_factor": [-0.2, 0.3], "width_factor": 0.1, "fill_mode": "nearest", "interpolation": "nearest"}),
)
class RandomZoom(ImageOperation):
    """Zooms images in training, out for positive factors and in for negative ones; their size stays.

    Input and output: (N, H, W, C).
    """

    height_factor: ZoomFactor
    """Change of the visible height as a fraction, drawn from -x to x for a number x, or from [lowest, highest]."""
    width_factor: ZoomFactor | None = None
    """Change of the visible width, drawn as for the height; null: equal to the height's, to keep the aspect ratio."""
    fill_mode: FillMode = "reflect"
    """Fill outside of the image: its reflection, wrapped copies, fill_value (constant), or the nearest border pixel."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    seed: Seed = None
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the fractions of an image's height and width that its output shows (N, 1, 1); above 1 zooms out."""
        high = 1 + uniform(x, signed_span(self.height_factor), 1, 1)
        if self.width_factor is None:
            return high, high
        return high, 1 + uniform(x, signed_span(self.width_factor), 1, 1)

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        high, wide = drawn
        middle_y, middle_x = ((size - 1) / 2 for size in x.shape[-2:])
        return affine(
            x, (wide, 0, middle_x * (1 - wide)), (0, high, middle_y * (1 - high)),
            interpolation=self.interpolation, fill_mode=self.fill_mode, fill_value=self.fill_value,
        )  # fmt: skip
