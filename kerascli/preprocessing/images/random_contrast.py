"""RandomContrast: values nearer to their mean, or further from it."""

from torch import Tensor

from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, ValueRange, operation, uniform
from kerascli.shapes import DataFormat, Seed


@operation(Use({"factor": 0.2}), Use({"factor": [0.1, 0.3], "value_range": [0.0, 1.0]}))
class RandomContrast(ImageOperation):
    """Multiplies the distances from the mean of each channel while training, within the range of values."""

    factor: Factor
    """Multiplied by 1 - factor to 1 + factor; or by 1 - the first to 1 + the second of [lower, upper]."""
    value_range: ValueRange = (0, 255)
    """The lowest and the highest value of the images."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        lower, upper = sorted(self.factor) if isinstance(self.factor, tuple) else (self.factor, self.factor)
        return uniform(x, (1 - lower, 1 + upper))

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        mean = x.mean((-2, -1), keepdim=True)
        return ((x - mean) * drawn + mean).clamp(*self.value_range)
