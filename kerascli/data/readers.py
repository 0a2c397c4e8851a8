"""Readers of files that a table names (`files:` of `csv` and others): the settings by which a column is decoded."""

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field as Setting
from pydantic import model_validator

from kerascli.data.remote.addresses import InFolder
from kerascli.data.storage.decoded_files import Decoder
from kerascli.data.storage.image_files import Reading
from kerascli.data.storage.sound_files import SoundReading
from kerascli.foundation.errors import DataMissing, suggestion
from kerascli.foundation.shapes import Color, PositiveFloat, PositiveInt, Size2D
from kerascli.language.component import Component, Registry

OnCorrupt = Annotated[
    Literal["error", "skip"],
    Setting(description="Treatment of damaged files: error (lists all before training) or skip (omits their rows, "
            "with a warning)."),
]  # fmt: skip

_COLORS = {"black": (0, 0, 0), "white": (255, 255, 255)}


class ImageSettings(Component):
    """Base class of components with the image settings of keras.utils.image_dataset_from_directory."""

    color_mode: Literal["grayscale", "rgb", "rgba"] = "rgb"
    """Channels of the images: grayscale (1 channel), rgb (3) or rgba (4)."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    """Interpolation method for resizing (Pillow's)."""
    crop_to_aspect_ratio: bool = False
    """Center-crop images to the target aspect ratio before resizing; false: resizing may distort them."""
    background: Literal["black", "white"] | Color | None = None
    """Color behind transparent pixels, by name, as a grey or as [red, green, blue] in 0..255.
    null: transparency is ignored, as in Keras; such pixels show the colors that the file has for them."""

    @model_validator(mode="after")
    def _has_a_use_for_its_background(self) -> Self:
        if self.background is not None and self.color_mode == "rgba":
            raise ValueError("background: color_mode rgba keeps transparency; expected rgb or grayscale beside it")
        return self

    def reading_at(self, size: tuple[int, int]) -> Reading:
        """Return the settings for decoding images to `size` (height, width)."""
        background = _COLORS[self.background] if isinstance(self.background, str) else self.background
        return Reading(size, self.color_mode, self.interpolation, self.crop_to_aspect_ratio, background)


class FileReader(InFolder):
    """Base class of the readers of files that a column of a table names."""

    paths = ("directory",)

    directory: str | None = None
    """Folder that the names are relative to, itself relative to the config; null: the folder of the table."""
    suffix: str = ""
    """Text appended to each name, such as `.png` for names without an extension."""
    on_corrupt: OnCorrupt = "error"

    @abstractmethod
    def decoder(self) -> Decoder:
        """Return the settings for decoding a file."""

    def folders(self, config: Path, table: str, *, of_command: bool) -> list[Path]:
        """Return the folders to search for the files that a table names, in order. Raises DataMissing.

        `config` is the folder of the config, `table` the path of the table: relative to that or, if the table is
        given to a command, to the working directory; files are then searched for beside the table first.
        """
        beside = Path(table).parent
        if self.directory is None:
            return [beside if of_command else config / beside]
        home = config / self.directory
        if not of_command and not home.is_dir():
            near = [entry.name for entry in home.parent.iterdir() if entry.is_dir()] if home.parent.is_dir() else []
            text = f"there is no such folder{suggestion(home.name, near)}"
            raise DataMissing(text, place=self.directory)
        return [beside, home] if of_command else [home]


READERS: Registry[FileReader] = Registry("reader", FileReader, ("kerascli.data.readers",))


@READERS.register
class Image(ImageSettings, FileReader):
    """Image files (png, jpeg, gif, bmp), decoded and resized by Pillow: (height, width, channels) uint8."""

    size: Size2D = (256, 256)
    """Height and width that images are resized to."""

    def decoder(self) -> Decoder:
        return self.reading_at(self.size)


Channels = Annotated[int, Setting(ge=1, le=64)]


@READERS.register
class Audio(FileReader):
    """Sound files: PCM wave files, others by soundfile; (length,) or (length, channels) float32 in [-1, 1].

    Shorter sounds are padded with zeros at the end, longer ones are truncated. Sounds of another rate are resampled by
    windowed sinc interpolation, as torchaudio.functional.resample.
    """

    rate: PositiveInt = 16000
    """Sampling rate, in samples per second."""
    seconds: PositiveFloat
    """Length of the sounds, in seconds."""
    channels: Channels | None = None
    """Number of channels; null: the mean of all channels, without an axis of channels; 1: the same with that axis."""

    def decoder(self) -> Decoder:
        return SoundReading(self.rate, max(1, round(self.seconds * self.rate)), self.channels)
