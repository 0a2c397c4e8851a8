"""RandomBrightness: makes images brighter or darker."""

from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import (
    ImageOperation,
    SignedFactor,
    Use,
    ValueRange,
    operation,
    signed_span,
    uniform,
)


@operation(Use({"factor": 0.2}), Use({"factor": [-0.1, 0.3], "value_range": [0.0, 1.0]}))
class RandomBrightness(ImageOperation):
    """Adds a random number to all values of an image in training, and clips to the range of values.

    Input and output: (N, H, W, C).
    """

    factor: SignedFactor
    """Change of the values as a fraction of their range, from -x to x for a number x, or from [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        low, high = self.value_range
        return uniform(x, signed_span(self.factor)) * (high - low)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return (x + drawn).clamp(*self.value_range)
