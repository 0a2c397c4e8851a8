"""CenterCrop: the middle of images."""

from torch import Tensor

from kerascli.preprocessing.images.base import ImageOperation, Use, operation
from kerascli.preprocessing.images.resizing import smart_resize
from kerascli.shapes import DataFormat, PositiveInt


@operation(
    Use({"height": 4, "width": 5}, output=(4, 5, 3)),
    Use({"height": 9, "width": 5, "data_format": "channels_first"}, (3, 8, 6), (3, 9, 5)),
)
class CenterCrop(ImageOperation):
    """Cuts `height` x `width` out of the middle; images that are smaller are scaled up first."""

    always = True

    height: PositiveInt
    """The height of the result."""
    width: PositiveInt
    """The width of the result."""
    data_format: DataFormat = "channels_last"

    def size(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        return self.height, self.width

    def change(self, x: Tensor, drawn: None) -> Tensor:
        rows, columns = x.shape[-2:]
        if rows < self.height or columns < self.width:
            return smart_resize(x, self.height, self.width)
        top, left = (rows - self.height) // 2, (columns - self.width) // 2
        return x[..., top : top + self.height, left : left + self.width]
