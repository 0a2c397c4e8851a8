"""ImageFolder: an image a file, a folder a class; as keras.utils.image_dataset_from_directory."""

from collections.abc import Mapping
from pathlib import Path

from kerascli.data.base import Context, Field, source
from kerascli.data.sources.folders import FolderSource
from kerascli.data.sources.image_settings import SUFFIXES, ImageSettings, image_column
from kerascli.data.storage.image_files import Images, need_pillow
from kerascli.data.storage.on_disk import Values


@source()
class ImageFolder(ImageSettings, FolderSource):
    """`image` (height, width, channels) uint8, and `label`, of png, jpeg, gif and bmp files.

    Sizes are changed by Pillow, as in keras.utils.load_img. What would take much memory is decoded batch by batch.
    """

    suffixes = SUFFIXES

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"image": Field(self.reading().shape, "uint8"), **self.label(context)}

    def contents(self, files: list[Path], name: str) -> dict[str, Values]:
        need_pillow()
        return {"image": image_column(Images(files, self.reading()))}
