"""RandomInvert: some images as negatives."""

import torch
from torch import Tensor

from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, ValueRange, chosen, operation
from kerascli.shapes import DataFormat, Seed


@operation(Use(), Use({"factor": [0.2, 0.6], "value_range": [0.0, 1.0]}))
class RandomInvert(ImageOperation):
    """Takes some images from the highest value while training."""

    factor: Factor = 1.0
    """Each image's probability to be inverted is drawn from 0 to this, or from [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """The lowest and the highest value of the images."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        return chosen(x, self.factor)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn, self.value_range[1] - x, x)
