"""RandomColorDegeneration: images on their way to grey."""

from torch import Tensor

from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, ValueRange, operation, span, uniform
from kerascli.preprocessing.images.color import grayscale
from kerascli.shapes import DataFormat, Seed


@operation(Use({"factor": 0.5}), Use({"factor": [0.2, 0.8], "value_range": [0.0, 1.0]}))
class RandomColorDegeneration(ImageOperation):
    """Mixes images with their grey selves while training: 0 changes nothing, 1 is grey."""

    channels = (1, 3)

    factor: Factor
    """The part of grey: drawn from 0 to this, or from [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """The lowest and the highest value of the images."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None

    def draw(self, x: Tensor) -> Tensor:
        return uniform(x, span(self.factor))

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return (x + drawn * (grayscale(x) - x)).clamp(*self.value_range)
