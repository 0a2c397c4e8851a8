"""Equalization: equalizes the histogram of pixel values."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import DataFormat
from kerascli.preprocessing.images.base import ImageOperation, Use, ValueRange, operation
from kerascli.preprocessing.images.color import rescaled


@operation(Use(dtype="int64"), Use({"value_range": [0.0, 1.0], "bins": 16}, dtype="int64"))
class Equalization(ImageOperation):
    """Histogram equalization: in training spreads each channel's values so that they are about equally frequent.

    Input and output: (N, H, W, C). Each image is equalized on its own; Keras uses the histogram of the whole batch.
    """

    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    bins: Annotated[int, Field(ge=2, le=65536)] = 256
    """Number of histogram bins."""
    data_format: DataFormat = "channels_last"

    def change(self, x: Tensor, drawn: None) -> Tensor:
        shades = rescaled(x, self.value_range, (0, 255)).flatten(2)  # (N, C, H * W)
        last = self.bins - 1
        counted = (shades * last / 255).long().clamp(0, last)
        count = torch.zeros(*shades.shape[:2], self.bins, dtype=torch.long, device=x.device)
        below = count.scatter_add(2, counted, torch.ones_like(counted)).cumsum(2)
        first = torch.where(below > 0, below, shades.shape[-1]).amin(2, keepdim=True)
        rest = below[..., -1:] - first
        table = ((below - first) * 255 / rest.clamp(min=1).to(x.dtype)).round().clamp(0, 255)
        looked_up = (shades / 255 * last).clamp(0, last).long()
        spread = torch.where(rest > 0, table.gather(2, looked_up), shades)
        return rescaled(spread, (0, 255), self.value_range).view_as(x)
