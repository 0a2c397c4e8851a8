"""RandomContrast: increases or reduces the contrast of images."""

from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, ValueRange, operation, uniform


@operation(Use({"factor": 0.2}), Use({"factor": [0.1, 0.3], "value_range": [0.0, 1.0]}))
class RandomContrast(ImageOperation):
    """Multiplies the differences from each channel's mean by a random number in training, and clips to the range.

    Input and output: (N, H, W, C).
    """

    factor: Factor
    """Number f: contrast is multiplied by 1 - f to 1 + f, at random; [lower, upper]: by 1 - lower to 1 + upper."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        lower, upper = sorted(self.factor) if isinstance(self.factor, tuple) else (self.factor, self.factor)
        return uniform(x, (1 - lower, 1 + upper))

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        mean = x.mean((-2, -1), keepdim=True)
        return ((x - mean) * drawn + mean).clamp(*self.value_range)
