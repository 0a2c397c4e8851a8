"""CenterCrop: crops the centre of images."""

from torch import Tensor

from kerascli.foundation.shapes import DataFormat, PositiveInt
from kerascli.preprocessing.images.base import ImageOperation, Use, operation
from kerascli.preprocessing.images.resizing import smart_resize


@operation(
    Use({"height": 4, "width": 5}, output=(4, 5, 3)),
    Use({"height": 9, "width": 5, "data_format": "channels_first"}, (3, 8, 6), (3, 9, 5)),
)
class CenterCrop(ImageOperation):
    """Crops images to their central `height` x `width` pixels, in training and at inference.

    Input: (N, H, W, C). Output: (N, height, width, C). Smaller images are cropped to the aspect ratio and scaled up.
    """

    always = True

    height: PositiveInt
    """Height of the output, in pixels."""
    width: PositiveInt
    """Width of the output, in pixels."""
    data_format: DataFormat = "channels_last"

    def size(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        return self.height, self.width

    def change(self, x: Tensor, drawn: None) -> Tensor:
        rows, columns = x.shape[-2:]
        if rows < self.height or columns < self.width:
            return smart_resize(x, self.height, self.width)
        top, left = (rows - self.height) // 2, (columns - self.width) // 2
        return x[..., top : top + self.height, left : left + self.width]
