"""RandomGrayscale: converts images to grayscale at random."""

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Fraction, Seed
from kerascli.preprocessing.images.base import ImageOperation, Use, operation, uniform
from kerascli.preprocessing.images.color import grayscale


@operation(Use(), Use({"factor": 0.9, "data_format": "channels_first"}, (3, 8, 6), (3, 8, 6)))
class RandomGrayscale(ImageOperation):
    """Converts some images to grayscale in training; they keep their channels, with equal values.

    Input and output: (N, H, W, C), with 1 or 3 channels.
    """

    channels = (1, 3)

    factor: Fraction = 0.5
    """Probability to convert an image."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None

    def draw(self, x: Tensor) -> Tensor:
        return uniform(x, (0, 1)) < self.factor

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn, grayscale(x), x)
