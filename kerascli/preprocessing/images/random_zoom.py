"""RandomZoom: images larger or smaller within their frame."""

from typing import Annotated

from pydantic import AfterValidator
from torch import Tensor

from kerascli.preprocessing.images.base import ImageOperation, SignedFactor, Use, operation, signed_span, uniform
from kerascli.preprocessing.images.warp import FillMode, Interpolation, affine
from kerascli.shapes import DataFormat, Seed


def _not_endless(factor: float | tuple[float, float]) -> float | tuple[float, float]:
    if -1.0 in (factor if isinstance(factor, tuple) else (factor,)):
        raise ValueError("must be above -1: at -1 one point fills the image")
    return factor


ZoomFactor = Annotated[SignedFactor, AfterValidator(_not_endless)]


@operation(
    Use({"height_factor": 0.2}),
    Use({"height_factor": [-0.2, 0.3], "width_factor": 0.1, "fill_mode": "nearest", "interpolation": "nearest"}),
)
class RandomZoom(ImageOperation):
    """Zooms out (positive factors) and in (negative ones) while training; the frame keeps its size."""

    height_factor: ZoomFactor
    """How much larger a piece the height shows, as a fraction, or as much smaller; or [lowest, highest]."""
    width_factor: ZoomFactor | None = None
    """The same for the width; null: as the height, so that nothing is distorted."""
    fill_mode: FillMode = "reflect"
    """What lies outside of an image: its reflection, its copies, fill_value, or its border drawn out."""
    interpolation: Interpolation = "bilinear"
    """How values between pixels are found."""
    seed: Seed = None
    fill_value: float = 0.0
    """What lies outside with fill_mode constant."""
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """How many times the height and the width are shown (N, 1, 1)."""
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
