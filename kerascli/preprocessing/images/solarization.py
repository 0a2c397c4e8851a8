"""Solarization: inverts the pixel values above a threshold."""

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, ValueRange, operation, span, uniform
from kerascli.preprocessing.images.color import rescaled


@operation(Use({"threshold_factor": 0.8}), Use({"addition_factor": [0.1, 0.3], "value_range": [0.0, 1.0]}))
class Solarization(ImageOperation):
    """Solarizes images in training: adds a random number, then inverts the values from a threshold on.

    Input and output: (N, H, W, C). Values are scaled to 0 to 255 for it; a value v is inverted to 255 - v.
    """

    addition_factor: Factor = 0.0
    """Number to add, as a fraction of 255, drawn from 0 to this value, or from [lowest, highest]."""
    threshold_factor: Factor = 0.0
    """Threshold as a fraction of 255, drawn from 0 to this value, or from [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the number to add to an image's values, and the threshold of inversion."""
        return 255 * uniform(x, span(self.addition_factor)), 255 * uniform(x, span(self.threshold_factor))

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        addition, threshold = drawn
        x = (rescaled(x, self.value_range, (0, 255)) + addition).clamp(0, 255)
        return rescaled(torch.where(x < threshold, x, 255 - x), (0, 255), self.value_range)
