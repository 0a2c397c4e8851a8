"""RandomFlip: mirrors each image with probability 0.5, horizontally, vertically or both."""

from typing import Literal

import torch
from torch import Tensor

from kerascli.foundation import draws
from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import ImageOperation, Use, operation

_AXES = {"horizontal": (-1,), "vertical": (-2,), "horizontal_and_vertical": (-1, -2)}


@operation(Use(), Use({"mode": "vertical", "data_format": "channels_first"}, (3, 8, 6), (3, 8, 6)))
class RandomFlip(ImageOperation):
    """Flips each image with probability 1/2 in training.

    Input and output: (N, H, W, C). As in Keras 3 horizontal_and_vertical flips both ways or not at all; for independent
    flips use two layers.
    """

    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal_and_vertical"
    """Direction of the flip: horizontal (left to right), vertical (upside down), or both at once."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        return draws.bernoulli(x, 0.5, (x.shape[0], 1, 1, 1)).bool()

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn, x.flip(_AXES[self.mode]), x)
