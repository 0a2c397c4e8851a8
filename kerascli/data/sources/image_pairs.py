"""Source `image_pairs`: images with a segmentation mask for each in another folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.sources.folders import file_names, files_below, plain_path
from kerascli.data.sources.image_folder import SUFFIXES, ImageSettings, decoded_once, image_column, readable
from kerascli.data.storage.image_files import Images, dtype_of_labels, need_pillow
from kerascli.data.storage.table import FILE, FILES, Table
from kerascli.foundation.errors import DataError, DataMissing, counted, safe_text


class TwoFolders(Source):
    """Base class of sources that read images from one folder and their masks from another."""

    paths = ("images", "masks")
    names_files = True

    images: str
    """Folder of the images, relative to the config."""
    masks: str
    """Folder of the masks; a mask has its image's file name plus `mask_suffix`, with any file extension."""
    mask_suffix: str = ""
    """Text after the image's name in the file name of a mask: `_mask` for `car.jpg` and `car_mask.gif`."""


@source()
class ImagePairs(ImageSettings, TwoFolders):
    """Images with segmentation masks: `image` (height, width, channels) and `mask` (height, width, 1), uint8.

    Masks are read as grayscale, those of a palette with colors as its indices (Pascal VOC), and resized with
    nearest-neighbor interpolation; those of 16 bits keep their integers (uint16). One split `train`.
    """

    def facts(self, context: Context) -> Mapping[str, Field]:
        reading = self.reading()
        masks = files_below(context.folder / self.masks, SUFFIXES)
        dtype = dtype_of_labels(masks[0]) if masks else "uint8"  # known for certain when all are read
        return {"image": Field(reading.shape, "uint8"), "mask": Field((*reading.size, 1), dtype)}

    def reads_alone(self, path: Path) -> bool:
        return path.name.lower().endswith(SUFFIXES)

    def read_rows(self, files: Sequence[Path], labels: np.ndarray | None = None) -> Table:
        need_pillow()
        images = image_column(Images(list(files), self.reading()))
        return Table({FILE: file_names(files), "image": images}, len(files), name=FILES)

    def folders(self, context: Context) -> list[Path]:
        return [context.folder / path for path in (self.images, self.masks)]

    def load(self, context: Context) -> Mapping[str, Table]:
        need_pillow()
        images, masks = (_by_name(plain_path(context.folder / path), path) for path in (self.images, self.masks))
        names = sorted(images)
        if lacking := [name for name in names if name + self.mask_suffix not in masks]:
            text = f"{counted(len(lacking), 'image')} without a mask, the first is '{safe_text(lacking[0], 60)}'"
            hint = f"expected '{safe_text(lacking[0] + self.mask_suffix, 60)}' in '{safe_text(self.masks, 60)}'"
            raise DataError(text, place=self.images, hint=hint)
        labels = replace(self.reading(), color_mode="labels", interpolation="nearest")
        files = [images[name] for name in names]
        image, damaged = decoded_once(Images(files, self.reading()))
        mask, more = decoded_once(Images([masks[name + self.mask_suffix] for name in names], labels))
        table = Table({FILE: file_names(files), "image": image, "mask": mask}, len(names), name=self.images)
        kept = readable({**more, **damaged}, len(names), self.images, skip=self.on_corrupt == "skip")
        return {"train": table if kept is None else table.take(kept.rows, kept.skipped)}


def _by_name(folder: Path, shown: str) -> dict[str, Path]:
    """Return a mapping from the name (without extension) of each image in a folder to its path. Raises DataError."""
    if not folder.is_dir():
        raise DataMissing("there is no such folder", place=shown)
    by_name: dict[str, Path] = {}
    for path in files_below(folder, SUFFIXES):
        if (other := by_name.setdefault(path.stem, path)) != path:
            text = f"two images have the same name: '{safe_text(other.name, 60)}' and '{safe_text(path.name, 60)}'"
            raise DataError(text, place=shown)
    if not by_name:
        raise DataError(f"there are no files that end in {', '.join(SUFFIXES)}", place=shown)
    return by_name
