"""RandomCrop: crops images at a random position."""

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, PositiveInt, Seed
from kerascli.preprocessing.images.base import ImageOperation, Use, operation, uniform
from kerascli.preprocessing.images.resizing import smart_resize


@operation(
    Use({"height": 4, "width": 5}, output=(4, 5, 3)),
    Use({"height": 9, "width": 5, "data_format": "channels_first"}, (3, 8, 6), (3, 9, 5)),
)
class RandomCrop(ImageOperation):
    """Crops images to `height` x `width` in training, each at its own random position.

    Input: (N, H, W, C). Output: (N, height, width, C). At inference, and for images that are not larger, the largest
    central part with the right aspect ratio is scaled to that size.
    """

    height: PositiveInt
    """Height of the output, in pixels."""
    width: PositiveInt
    """Width of the output, in pixels."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def size(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        return self.height, self.width

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the first row (N, 1) and the first column (N, 1) of each image's crop."""
        return _starts(x, x.shape[-2] - self.height), _starts(x, x.shape[-1] - self.width)

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        rows, columns = x.shape[-2:]
        if rows <= self.height or columns <= self.width:
            return self.at_inference(x)
        down, across = (
            start + torch.arange(size, device=x.device)
            for start, size in zip(drawn, (self.height, self.width), strict=True)
        )
        x = x.gather(2, down[:, None, :, None].expand(-1, x.shape[1], -1, columns))
        return x.gather(3, across[:, None, None, :].expand(-1, x.shape[1], self.height, -1))

    def at_inference(self, x: Tensor) -> Tensor:
        return smart_resize(x, self.height, self.width)


def _starts(x: Tensor, last: int) -> Tensor:
    """Draw one integer from 0 to `last` for each image (N, 1)."""
    last = max(last, 0)
    return uniform(x, (0, last + 1), 1).floor().clamp(max=last).long()
