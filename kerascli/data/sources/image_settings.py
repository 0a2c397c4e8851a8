"""What sources of image files share: how files become arrays of one size."""

from typing import Literal

from kerascli.data.base import Source
from kerascli.data.storage.image_files import Images, Reading
from kerascli.data.storage.on_disk import Values, is_large
from kerascli.shapes import Size2D

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


class ImageSettings(Source):
    """Settings of keras.utils.image_dataset_from_directory, behind those of the source itself."""

    color_mode: Literal["grayscale", "rgb", "rgba"] = "rgb"
    """Of what channels the images are made."""
    image_size: Size2D = (256, 256)
    """Height and width."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    """How an image of another size is made of what was there."""
    crop_to_aspect_ratio: bool = False
    """Cut what is too much, in the middle, before the size is changed; otherwise images are stretched."""

    def reading(self) -> Reading:
        return Reading(self.image_size, self.color_mode, self.interpolation, self.crop_to_aspect_ratio)


def image_column(images: Images) -> Values:
    """The images in memory, or on disk where they are many."""
    return images if is_large(images.size) else images[slice(0, len(images))]
