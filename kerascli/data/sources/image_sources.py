"""Sources `image_folder` and `image_pairs`: images in one subfolder for each class, or with masks in another folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.sources.folders import FolderSource, file_names, files_below, plain_path
from kerascli.data.storage.image_files import Images, Reading, dtype_of_labels, need_pillow
from kerascli.data.storage.on_disk import Values, is_large
from kerascli.data.storage.table import FILE, FILES, Skipped, Table
from kerascli.foundation.errors import DataError, DataMissing, Fault, counted, safe_text
from kerascli.foundation.shapes import Color, Size2D

_SHOWN = 20
"""Maximum number of damaged image files that an error message names."""
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")

_NAMED = {"black": (0, 0, 0), "white": (255, 255, 255)}


class ImageSettings(Source):
    """Base class of sources with the image settings of keras.utils.image_dataset_from_directory.

    They follow the source's own settings in order.
    """

    color_mode: Literal["grayscale", "rgb", "rgba"] = "rgb"
    """Channels of the images: grayscale (1 channel), rgb (3) or rgba (4)."""
    image_size: Size2D = (256, 256)
    """Height and width that images are resized to."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    """Interpolation method for resizing (Pillow's)."""
    crop_to_aspect_ratio: bool = False
    """Center-crop images to the target aspect ratio before resizing; false: resizing may distort them."""

    background: Literal["black", "white"] | Color | None = None
    """Color behind transparent pixels, by name, as a grey or as [red, green, blue] in 0..255.
    null: transparency is ignored, as in Keras; such pixels show the colors that the file has for them."""

    on_corrupt: Literal["error", "skip"] = "error"
    """Treatment of damaged images: error (lists all before training) or skip (omits their rows, with a warning)."""

    @model_validator(mode="after")
    def _has_a_use_for_its_background(self) -> Self:
        if self.background is not None and self.color_mode == "rgba":
            raise ValueError("background: color_mode rgba keeps transparency; expected rgb or grayscale beside it")
        return self

    def reading(self) -> Reading:
        background = _NAMED[self.background] if isinstance(self.background, str) else self.background
        return Reading(self.image_size, self.color_mode, self.interpolation, self.crop_to_aspect_ratio, background)


def decoded_once(images: Images) -> tuple[Values, dict[int, Fault]]:
    """Decode every image once; return the column, and a mapping from row to the error of a damaged file.

    The column is in memory, unless it is too large for that.
    """
    return images.read_all(in_memory=not is_large(images.size))


def undamaged(table: Table, damaged: Mapping[int, Fault], *, skip: bool) -> Table:
    """Return the rows of a table without those of damaged images. Raises DataError for damage unless `skip`.

    The error lists damaged files, as does one about rows of which none is left.
    """
    if not damaged:
        return table
    if not skip or len(damaged) == table.rows:
        can_skip = not skip and table.name != FILES  # of files given to a command the source is a run's, and settled
        hint = "mend or remove them" + (", or set 'on_corrupt: skip' of the source" if can_skip else "")
        raise DataError(_listed(damaged, table.rows, hint))
    places = [str(fault.place) for _, fault in sorted(damaged.items())]
    rows = np.array([row for row in range(table.rows) if row not in damaged])
    return table.take(rows, Skipped(table.name, len(damaged), table.rows, tuple(places[:_SHOWN])))


def _listed(damaged: Mapping[int, Fault], count: int, hint: str) -> list[Fault]:
    """Return the errors of damaged files, at most `_SHOWN` of them, then an error with their total number."""
    number = f"{len(damaged):,} of {counted(count, 'image')} cannot be decoded"
    last = Fault(number, hint=hint)
    return [*[fault for _, fault in sorted(damaged.items())][:_SHOWN], last]


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
        rows = Table({FILE: file_names(files), **columns, "image": images}, len(files), name=name)
        return undamaged(rows, damaged, skip=self.on_corrupt == "skip")


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
        images, damaged = decoded_once(Images(list(files), self.reading()))
        return undamaged(Table({FILE: file_names(files), "image": images}, len(files), name=FILES), damaged, skip=False)

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
        return {"train": undamaged(table, {**more, **damaged}, skip=self.on_corrupt == "skip")}


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
