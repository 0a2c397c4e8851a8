"""AutoContrast: stretches pixel values to the whole range."""

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat
from kerascli.preprocessing.images.base import ImageOperation, Use, ValueRange, operation
from kerascli.preprocessing.images.color import rescaled


@operation(Use({"value_range": [0.0, 1.0]}), Use(dtype="int64"))
class AutoContrast(ImageOperation):
    """Stretches each channel of each image linearly to the whole range of values, in training and at inference.

    Input and output: (N, H, W, C). A channel with a single value stays as it is.
    """

    always = True

    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    data_format: DataFormat = "channels_last"

    def change(self, x: Tensor, drawn: None) -> Tensor:
        shades = rescaled(x, self.value_range, (0, 255))
        low, high = shades.amin((-2, -1), keepdim=True), shades.amax((-2, -1), keepdim=True)
        scale = 255 / torch.where(high > low, high - low, 1.0)
        stretched = (shades * scale - low * scale).clamp(0, 255)
        return torch.where(high > low, rescaled(stretched, (0, 255), self.value_range), x)
