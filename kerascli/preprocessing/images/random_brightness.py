"""RandomBrightness: images lighter or darker."""

from torch import Tensor

from kerascli.preprocessing.images.base import (
    ImageOperation,
    SignedFactor,
    Use,
    ValueRange,
    operation,
    signed_span,
    uniform,
)
from kerascli.shapes import DataFormat, Seed


@operation(Use({"factor": 0.2}), Use({"factor": [-0.1, 0.3], "value_range": [0.0, 1.0]}))
class RandomBrightness(ImageOperation):
    """Adds one number to all values of an image while training, within the range of values."""

    factor: SignedFactor
    """The largest change as a fraction of the range of values, up and down; or [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """The lowest and the highest value of the images."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        low, high = self.value_range
        return uniform(x, signed_span(self.factor)) * (high - low)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return (x + drawn).clamp(*self.value_range)
