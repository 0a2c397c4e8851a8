"""ImageFolder: an image a file, a folder a class; as keras.utils.image_dataset_from_directory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from kerascli.data.base import Context, Field, source
from kerascli.data.image_files import Images, Reading, need_pillow
from kerascli.data.on_disk import Values, is_large
from kerascli.data.sources.folders import FolderSource
from kerascli.shapes import Size2D


@source()
class ImageFolder(FolderSource):
    """`image` (height, width, channels) uint8 and `label`, of png, jpeg, gif and bmp files.

    Sizes are changed by Pillow, as in keras.utils.load_img. What would take much memory is decoded batch by batch.
    """

    suffixes = (".bmp", ".gif", ".jpeg", ".jpg", ".png")

    color_mode: Literal["grayscale", "rgb", "rgba"] = "rgb"
    """Of what channels the images are made."""
    image_size: Size2D = (256, 256)
    """Height and width."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    """How an image of another size is made of what was there."""
    crop_to_aspect_ratio: bool = False
    """Cut what is too much, in the middle, before the size is changed; otherwise images are stretched."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"image": Field(self._reading().shape, "uint8"), "label": self.label(context)}

    def contents(self, files: list[Path], name: str) -> dict[str, Values]:
        need_pillow()
        images = Images(files, self._reading())
        return {"image": images if is_large(images.size) else images[slice(0, len(images))]}

    def _reading(self) -> Reading:
        return Reading(self.image_size, self.color_mode, self.interpolation, self.crop_to_aspect_ratio)
