"""Solarization: light values turned dark."""

import torch
from torch import Tensor

from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, ValueRange, operation, span, uniform
from kerascli.preprocessing.images.color import rescaled
from kerascli.shapes import DataFormat, Seed


@operation(Use({"threshold_factor": 0.8}), Use({"addition_factor": [0.1, 0.3], "value_range": [0.0, 1.0]}))
class Solarization(ImageOperation):
    """Adds a number to all values of an image, then takes what is above a threshold from 255; in training only."""

    addition_factor: Factor = 0.0
    """What is added, in parts of 255: drawn from 0 to this, or from [lowest, highest]."""
    threshold_factor: Factor = 0.0
    """The threshold, in parts of 255: drawn from 0 to this, or from [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """The lowest and the highest value of the images."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is added, and the threshold."""
        return 255 * uniform(x, span(self.addition_factor)), 255 * uniform(x, span(self.threshold_factor))

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        addition, threshold = drawn
        x = (rescaled(x, self.value_range, (0, 255)) + addition).clamp(0, 255)
        return rescaled(torch.where(x < threshold, x, 255 - x), (0, 255), self.value_range)
