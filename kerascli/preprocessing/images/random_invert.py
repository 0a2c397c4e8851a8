"""RandomInvert: inverts images at random."""

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import Factor, ImageOperation, Use, ValueRange, draw_selected, operation


@operation(Use(), Use({"factor": [0.2, 0.6], "value_range": [0.0, 1.0]}))
class RandomInvert(ImageOperation):
    """Inverts some images in training: values become the maximum of the range minus the value.

    Input and output: (N, H, W, C).
    """

    factor: Factor = 1.0
    """Probability to invert an image, drawn from 0 to this value, or from [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        return draw_selected(x, self.factor)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn, self.value_range[1] - x, x)
