"""Settings of the sources that read image files: color mode, size and interpolation."""

from typing import Literal

from kerascli.data.base import Source
from kerascli.data.storage.image_files import Images, Reading
from kerascli.data.storage.on_disk import Values, is_large
from kerascli.shapes import Size2D

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


class ImageSettings(Source):
    """Image settings of keras.utils.image_dataset_from_directory, which follow the source's own in order."""

    color_mode: Literal["grayscale", "rgb", "rgba"] = "rgb"
    """Channels of the images: grayscale (1 channel), rgb (3) or rgba (4)."""
    image_size: Size2D = (256, 256)
    """Height and width that images are resized to."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    """Interpolation method for resizing (Pillow's)."""
    crop_to_aspect_ratio: bool = False
    """Center-crop images to the target aspect ratio before resizing; false: resizing may distort them."""

    def reading(self) -> Reading:
        return Reading(self.image_size, self.color_mode, self.interpolation, self.crop_to_aspect_ratio)


def image_column(images: Images) -> Values:
    """Return a column of images decoded in memory, or decoded on access if they are too large for that."""
    return images if is_large(images.size) else images[slice(0, len(images))]
