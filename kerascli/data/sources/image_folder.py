"""Source `image_folder`: image files in one subfolder for each class, and the settings of all sources of images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.sources.folders import FolderSource, file_names
from kerascli.data.storage.image_files import Images, Reading, need_pillow
from kerascli.data.storage.on_disk import Values, is_large
from kerascli.data.storage.table import FILE, FILES, Skipped, Table
from kerascli.foundation.errors import DataError, Fault, counted
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


def image_column(images: Images) -> Values:
    """Return a column of images decoded in memory, or decoded on access if they are too large for that.

    Raises DataError with a fault for each damaged file.
    """
    column, damaged = decoded_once(images)
    if damaged:
        raise DataError(_listed(damaged, len(images), "mend or remove them"))
    return column


def decoded_once(images: Images) -> tuple[Values, dict[int, Fault]]:
    """Decode every image once; return the column, and a mapping from row to the error of a damaged file.

    The column is in memory, unless it is too large for that.
    """
    return images.read_all(in_memory=not is_large(images.size))


@dataclass(frozen=True, slots=True)
class Readable:
    """Indices of the rows whose images could be decoded, and the files of the other rows."""

    rows: np.ndarray
    skipped: Skipped


def readable(damaged: Mapping[int, Fault], count: int, name: str, *, skip: bool) -> Readable | None:
    """Return the rows of undamaged images; None if no image is damaged. Raises DataError for damage unless `skip`.

    The error lists damaged files, as does one about rows of which none is left.
    """
    if not damaged:
        return None
    if not skip or len(damaged) == count:
        can_skip = not skip and name != FILES  # of files given to a command the source is a run's, and settled
        hint = "mend or remove them" + (", or set 'on_corrupt: skip' of the source" if can_skip else "")
        raise DataError(_listed(damaged, count, hint))
    places = [str(fault.place) for _, fault in sorted(damaged.items())]
    skipped = Skipped(name, len(damaged), count, tuple(places[:_SHOWN]))
    return Readable(np.array([row for row in range(count) if row not in damaged]), skipped)


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
        kept = readable(damaged, len(files), name, skip=self.on_corrupt == "skip")
        return rows if kept is None else rows.take(kept.rows, kept.skipped)
