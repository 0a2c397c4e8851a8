"""Source `image_folder`: image files in one subfolder for each class, as keras.utils.image_dataset_from_directory."""

from collections.abc import Mapping
from pathlib import Path

from kerascli.data.base import Context, Field, source
from kerascli.data.sources.folders import FolderSource, file_names
from kerascli.data.sources.image_settings import SUFFIXES, ImageSettings, decoded_once, readable
from kerascli.data.storage.image_files import Images, need_pillow
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import FILE, Table


@source()
class ImageFolder(ImageSettings, FolderSource):
    """Image files (png, jpeg, gif, bmp) with one subfolder for each class, as Keras's image_dataset_from_directory.

    Columns: `image` (height, width, channels) uint8 and `label`, an integer. Pillow resizes, as in
    keras.utils.load_img. Images too large to be held in memory together are decoded batch by batch.
    """

    suffixes = SUFFIXES

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"image": Field(self.reading().shape, "uint8"), **self.label(context)}

    def table(self, files: list[Path], columns: dict[str, Values], name: str) -> Table:
        need_pillow()
        images, damaged = decoded_once(Images(files, self.reading()))
        found = Table({FILE: file_names(files), **columns, "image": images}, len(files), name=name)
        kept = readable(damaged, len(files), name, skip=self.on_corrupt == "skip")
        return found if kept is None else found.take(kept.rows, kept.skipped)
