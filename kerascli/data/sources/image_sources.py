"""Sources `image_folder`, `audio_folder`, `image_pairs`: a subfolder for each class, or masks in another folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from kerascli.data.base import Context, Field, Fields, Source, Tables, source
from kerascli.data.readers import Channels, ImageSettings, OnCorrupt
from kerascli.data.sources.folders import FolderSource, file_names, files_in, plain_path
from kerascli.data.storage.decoded_files import DecodedFiles, Decoder, undamaged
from kerascli.data.storage.image_files import SUFFIXES, Reading
from kerascli.data.storage.sound_files import SoundReading
from kerascli.data.storage.table import FILE, FILES, Table
from kerascli.foundation.errors import DataError, counted, safe_text
from kerascli.foundation.shapes import PositiveInt, Size2D


class ImageSource(ImageSettings, Source):
    """Base class of sources of images of one size."""

    image_size: Size2D = (256, 256)
    """Height and width that images are resized to."""
    on_corrupt: OnCorrupt = "error"

    def reading(self) -> Reading:
        return self.reading_at(self.image_size)


def decoded_table(
    files: Sequence[Path], columns: Mapping[str, np.ndarray], column: str, decoder: Decoder, name: str, *, skip: bool
) -> Table:
    """Return a table with a row for each file: its name, the given `columns`, and `column`, what it is decoded to.

    Raises DataError for damage unless `skip`.
    """
    values, damaged = DecodedFiles(files, decoder).read_once()
    table = Table({FILE: file_names(files), **columns, column: values}, len(files), name=name)
    return undamaged(table, damaged, skip=skip, noun=decoder.noun)


@source()
class ImageFolder(ImageSource, FolderSource):
    """Image files (png, jpeg, gif, bmp) with one subfolder for each class, as Keras's image_dataset_from_directory.

    Columns: `image` (height, width, channels) uint8 and `label`, an integer. Pillow resizes, as in
    keras.utils.load_img. Images too large to be held in memory together are decoded batch by batch.
    """

    suffixes = SUFFIXES

    def facts(self, context: Context) -> Fields:
        return {"image": Field(self.reading().shape, "uint8"), **self.label(context)}

    def read_rows(self, files: Sequence[Path], columns: Mapping[str, np.ndarray] = {}, name: str = FILES) -> Table:
        return decoded_table(files, columns, "image", self.reading(), name, skip=self.on_corrupt == "skip")


class TwoFolders(Source):
    """Base class of sources that read images from one folder and their masks from another."""

    paths = ("images", "masks")

    images: str
    """Folder of the images, relative to the config."""
    masks: str
    """Folder of the masks; a mask has its image's file name plus `mask_suffix`, with any file extension."""
    mask_suffix: str = ""
    """Text after the image's name in the file name of a mask: `_mask` for `car.jpg` and `car_mask.gif`."""


@source()
class ImagePairs(ImageSource, TwoFolders):
    """Images with segmentation masks: `image` (height, width, channels) and `mask` (height, width, 1), uint8.

    Masks are read as grayscale, those of a palette with colors as its indices (Pascal VOC), and resized with
    nearest-neighbor interpolation; those of 16 bits keep their integers (uint16). One split `train`.
    """

    suffixes = SUFFIXES

    def facts(self, context: Context) -> Fields:
        reading = self.reading()  # masks of 16 bits are known when all are read
        return {"image": Field(reading.shape, "uint8"), "mask": Field((*reading.size, 1), "uint8")}

    def read_rows(self, files: Sequence[Path], columns: Mapping[str, np.ndarray] = {}, name: str = FILES) -> Table:
        return decoded_table(files, columns, "image", self.reading(), name, skip=False)

    def load(self, context: Context) -> Tables:
        images, masks = (_by_name(plain_path(context.folder / path), path) for path in (self.images, self.masks))
        names = sorted(images)
        if lacking := [name for name in names if name + self.mask_suffix not in masks]:
            text = f"{counted(len(lacking), 'image')} without a mask, the first is '{safe_text(lacking[0], 60)}'"
            hint = f"expected '{safe_text(lacking[0] + self.mask_suffix, 60)}' in '{safe_text(self.masks, 60)}'"
            raise DataError(text, place=self.images, hint=hint)
        labels = replace(self.reading(), color_mode="labels", interpolation="nearest")
        files = [images[name] for name in names]
        image, damaged = DecodedFiles(files, self.reading()).read_once()
        mask, more = DecodedFiles([masks[name + self.mask_suffix] for name in names], labels).read_once()
        table = Table({FILE: file_names(files), "image": image, "mask": mask}, len(names), name=self.images)
        return {"train": undamaged(table, {**more, **damaged}, skip=self.on_corrupt == "skip")}


def _by_name(folder: Path, shown: str) -> dict[str, Path]:
    """Return a mapping from the name (without extension) of each image in a folder to its path. Raises DataError."""
    by_name: dict[str, Path] = {}
    for path in files_in(folder, shown, SUFFIXES)[0]:
        if (other := by_name.setdefault(path.stem, path)) != path:
            text = f"two images have the same name: '{safe_text(other.name, 60)}' and '{safe_text(path.name, 60)}'"
            raise DataError(text, place=shown)
    return by_name


@source()
class AudioFolder(FolderSource):
    """Sound files with one subfolder for each class, as Keras's audio_dataset_from_directory.

    Columns: `audio` (output_sequence_length, channels) float32 in [-1, 1] and `label`, an integer. PCM wave files are
    read by Python, others (flac, ogg, mp3, aiff) by soundfile. Shorter sounds are padded with zeros at the end.
    """

    suffixes = SoundReading.suffixes
    refused: ClassVar = {"ragged": "sounds have one length here: output_sequence_length"}

    output_sequence_length: PositiveInt
    """Length of the sounds, in samples; longer ones are truncated, shorter ones padded."""
    sampling_rate: PositiveInt | None = None
    """Sampling rate that sounds are resampled to, in samples per second; null: the samples of each file as they are."""
    channels: Channels = 1
    """Number of channels of the sounds; 1: the mean of all channels."""
    on_corrupt: OnCorrupt = "error"

    def reading(self) -> SoundReading:
        return SoundReading(self.sampling_rate, self.output_sequence_length, self.channels)

    def facts(self, context: Context) -> Fields:
        return {"audio": Field(self.reading().shape, "float32"), **self.label(context)}

    def read_rows(self, files: Sequence[Path], columns: Mapping[str, np.ndarray] = {}, name: str = FILES) -> Table:
        return decoded_table(files, columns, "audio", self.reading(), name, skip=self.on_corrupt == "skip")
