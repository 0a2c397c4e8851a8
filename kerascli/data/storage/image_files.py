"""Decode image files to arrays of one size. Needs Pillow."""

import contextlib
import io
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from kerascli.data.storage.decoded_files import MAX_BYTES, DamagedFile, Decoder
from kerascli.foundation.disk.files import read_bytes
from kerascli.foundation.errors import DataError, Place, safe_text

MAX_PIXELS = 2**26
"""Maximum number of pixels of an image, checked in the file's header before decoding."""
MAX_SIDE = 2**16 - 1
"""Maximum width and height of an image, in pixels (those of a JPEG): Pillow needs memory for every row, too."""

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
"""Ends of the names of image files, in lower case."""
COLOR_MODES = {1: "grayscale", 3: "rgb", 4: "rgba"}
"""Color modes by the number of their channels."""
_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA", "labels": "L"}
_FORMATS = ("BMP", "GIF", "JPEG", "PNG")
_LARGE_PIXELS = 2**23
_one_large = threading.Lock()
"""Lock for decoding images with more than _LARGE_PIXELS one at a time, to limit memory."""
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, zlib.error,
            struct.error, MemoryError)  # fmt: skip
"""Exceptions that Pillow raises for damaged files."""


@dataclass(frozen=True, slots=True)
class Reading(Decoder):
    """Settings for decoding image files: size (height, width), color mode, interpolation, cropping, and background.

    The color mode `labels` is that of masks: their integers, of 16 bits, too. `background` is the color (red, green,
    blue) behind transparent pixels; None: transparency is ignored.
    """

    suffixes: ClassVar = SUFFIXES

    size: tuple[int, int]
    color_mode: str
    interpolation: str
    crop: bool
    background: tuple[int, int, int] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.size, len(_MODES[self.color_mode]))

    def need(self) -> None:
        need_pillow()

    def decode(self, path: Path, *, reduced: bool = False) -> np.ndarray:
        """Decode an image file to an array (height, width, channels), uint8 (labels of 16 bits: uint16).

        `reduced` decodes a JPEG at an eighth of its size, which is faster and finds the same damage. Raises DamagedFile
        and DataError.
        """
        reading = replace(self, size=(8, 8), interpolation="nearest") if reduced else self
        image = open_image(io.BytesIO(read_bytes(path, MAX_BYTES)), path)
        is_large = image.width * image.height > _LARGE_PIXELS
        try:
            if reduced:
                image.draft(None, (1, 1))
            with _one_large if is_large else contextlib.nullcontext():
                converted = _labels(image, path) if self.color_mode == "labels" else _converted(image, self)
                array = np.asarray(_resized(converted, reading))
        except _DAMAGED as error:
            raise _damaged(error, path) from None
        return array.reshape(reading.shape).astype(np.uint8 if array.dtype == np.uint8 else np.uint16, copy=False)


def need_pillow() -> None:
    """Raise DataError if Pillow is not installed; keep its warnings, about metadata or palettes, from the terminal."""
    try:
        from PIL import Image
    except ImportError:
        raise DataError("image files need Pillow", hint="pip install 'kerascli[images]'") from None
    Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS is lower, and an error
    warnings.filterwarnings("ignore", module=r"PIL\.")


def open_image(file: IO[bytes], path: Path) -> Any:
    """Return the Pillow image in the open file `path`, of which only the header is read.

    Raises DamagedFile, and DataError for an image with too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    place = Place(str(path))
    if not file.read(1):
        raise DamagedFile("the file is empty", place=place)
    file.seek(0)
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        raise DamagedFile(f"not an image of a supported format ({', '.join(_FORMATS).lower()})", place=place) from None
    except _DAMAGED as error:
        raise _damaged(error, path) from None
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        text = f"{image.width:,} x {image.height:,} pixels; the limit here is {MAX_PIXELS:,}, and {MAX_SIDE:,} a side"
        raise DataError(text, place=place, hint="scale it down: images are resized to the source's image_size")
    return image


def _damaged(error: BaseException, path: Path) -> DamagedFile:
    return DamagedFile(f"damaged image: {safe_text(str(error), 120)}", place=str(path))


def _converted(image: Any, reading: Reading) -> Any:
    """Return an image in the color mode of `reading`, composed over its background."""
    from PIL import Image

    if image.mode.startswith("I"):  # grey of 16 bits, which convert() would cut at 255
        values, clear = np.asarray(image), image.info.get("transparency")
        image = Image.fromarray((values >> 8).astype(np.uint8))  # the high byte, as Pillow takes of 16-bit colors
        if clear is not None:
            image.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    if reading.background is not None and ("A" in image.getbands() or "transparency" in image.info):
        ground = Image.new("RGBA", image.size, (*reading.background, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    mode = _MODES[reading.color_mode]
    return image if image.mode == mode else image.convert(mode)


def _labels(image: Any, path: Path) -> Any:
    """Return a mask as an image of integers: grey values, of 16 bits, too; of a palette with colors its indices.

    Raises DataError for colors of 16 bits.
    """
    if image.mode.startswith("I"):
        return image
    if image.mode == "P":
        palette = np.array(image.getpalette()).reshape(-1, 3)
        if (palette != palette[:, :1]).any():
            return image
    if ";16" in str(image.tile):  # Pillow would keep the high byte
        text = f"a mask with colors or transparency of 16 bits (mode {image.mode}); expected one channel of integers"
        raise DataError(text, place=str(path), hint="save it as a grayscale PNG of 8 or 16 bits")
    return image if image.mode == "L" else image.convert("L")


def _resized(image: Any, reading: Reading) -> Any:
    from PIL import Image

    height, width = reading.size
    if image.size == (width, height):
        return image
    box = None
    if reading.crop:
        kept_width = min(image.width, image.height * width // height)
        kept_height = min(image.height, image.width * height // width)
        left, top = (image.width - kept_width) // 2, (image.height - kept_height) // 2
        box = (left, top, left + kept_width, top + kept_height)
    return image.resize((width, height), Image.Resampling[reading.interpolation.upper()], box=box)
