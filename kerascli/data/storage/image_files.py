"""Column of image files as arrays of one size, decoded on access. Needs Pillow.

All images are decoded once before training, so that every damaged one is known before the first step.
"""

import contextlib
import io
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerascli.data.storage.on_disk import Direct, Rows, Values, compose_rows
from kerascli.foundation.cpus import cpu_limit
from kerascli.foundation.disk.files import open_regular, read_bytes
from kerascli.foundation.errors import DataError, Fault, Place, safe_text

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 2**26
"""Maximum number of pixels of an image, checked in the file's header before decoding."""
MAX_SIDE = 2**16 - 1
"""Maximum width and height of an image, in pixels (those of a JPEG): Pillow needs memory for every row, too."""

_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA", "labels": "L"}
_FORMATS = ("BMP", "GIF", "JPEG", "PNG")
_THREADS = min(8, cpu_limit().count)
_LARGE_PIXELS = 2**23
_one_large = threading.Lock()
"""Lock for decoding images with more than _LARGE_PIXELS one at a time, to limit memory."""
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, zlib.error,
            struct.error, MemoryError)  # fmt: skip
"""Exceptions that Pillow raises for damaged files."""


class DamagedImage(DataError):
    """Error about a file that is no image, or that is incomplete."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Settings for decoding image files: size (height, width), color mode, interpolation, cropping, and background.

    The color mode `labels` is that of masks: their integers, of 16 bits, too. `background` is the color (red, green,
    blue) behind transparent pixels; None: transparency is ignored.
    """

    size: tuple[int, int]
    color_mode: str
    interpolation: str
    crop: bool
    background: tuple[int, int, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.size, len(_MODES[self.color_mode]))


class Images(Direct):
    """Column of images (rows, height, width, channels), decoded on access: uint8, but uint16 for labels of 16 bits."""

    def __init__(self, files: list[Path], reading: Reading) -> None:
        height, width, channels = reading.shape
        super().__init__(len(files), reading.shape, np.dtype(np.uint8), height * width * channels)
        self._files = files
        self._reading = reading

    def __getitem__(self, rows: Rows) -> np.ndarray:
        rows = compose_rows(self._rows, rows)
        files = self._files[rows] if isinstance(rows, slice) else [self._files[row] for row in rows]
        out = np.empty((len(files), *self.row_shape), self.dtype)
        with ThreadPoolExecutor(_THREADS) as threads:  # Pillow releases the interpreter lock while it decodes
            for row, image in enumerate(threads.map(self._decoded, files)):
                out[row] = image
        return out

    def read_all(self, *, in_memory: bool) -> tuple[Values, dict[int, Fault]]:
        """Decode every image once; return the column, and a mapping from row to the error of a damaged file.

        The column is in memory if asked for, where the rows of damaged files are zero; otherwise it is this one.
        Raises DataError for a file that cannot be read at all.
        """
        faults: dict[int, Fault] = {}
        out = np.zeros((len(self), *self.row_shape), self.dtype) if in_memory else None
        reading = self._reading if in_memory else replace(self._reading, size=(8, 8), interpolation="nearest")
        decode = partial(_decoded_or_fault, reading=reading, reduced=not in_memory)
        with ThreadPoolExecutor(_THREADS) as threads:
            for row, image in enumerate(threads.map(decode, self._files)):
                if isinstance(image, Fault):
                    faults[row] = image
                    continue
                self.dtype = np.result_type(self.dtype, image)
                if out is not None:
                    out = out.astype(self.dtype, copy=False)
                    out[row] = image
        return self if out is None else out, faults

    def _decoded(self, path: Path) -> np.ndarray:
        return decoded(path, self._reading)


def _decoded_or_fault(path: Path, *, reading: Reading, reduced: bool) -> np.ndarray | Fault:
    try:
        return decoded(path, reading, reduced=reduced)
    except DamagedImage as error:
        return error.faults[0]


def need_pillow() -> None:
    """Raise DataError if Pillow is not installed; keep its warnings, about metadata or palettes, from the terminal."""
    try:
        from PIL import Image
    except ImportError:
        raise DataError("image files need Pillow", hint="pip install 'kerascli[images]'") from None
    Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS is lower, and an error
    warnings.filterwarnings("ignore", module=r"PIL\.")


def decoded(path: Path, reading: Reading, *, reduced: bool = False) -> np.ndarray:
    """Decode an image file to an array (height, width, channels), uint8 (labels of 16 bits: uint16).

    `reduced` decodes a JPEG at an eighth of its size, which is faster and finds the same damage. Raises DamagedImage
    and DataError.
    """
    image = open_image(io.BytesIO(read_bytes(path, MAX_BYTES)), path)
    is_large = image.width * image.height > _LARGE_PIXELS
    try:
        if reduced:
            image.draft(None, (1, 1))
        with _one_large if is_large else contextlib.nullcontext():
            converted = _labels(image, path) if reading.color_mode == "labels" else _converted(image, reading)
            array = np.asarray(_resized(converted, reading))
    except _DAMAGED as error:
        raise _damaged(error, path) from None
    return array.reshape(reading.shape).astype(np.uint8 if array.dtype == np.uint8 else np.uint16, copy=False)


def open_image(file: IO[bytes], path: Path) -> Any:
    """Return the Pillow image in the open file `path`, of which only the header is read.

    Raises DamagedImage, and DataError for an image with too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    place = Place(str(path))
    if not file.read(1):
        raise DamagedImage("the file is empty", place=place)
    file.seek(0)
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        raise DamagedImage(f"not an image of a supported format ({', '.join(_FORMATS).lower()})", place=place) from None
    except _DAMAGED as error:
        raise _damaged(error, path) from None
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        text = f"{image.width:,} x {image.height:,} pixels; the limit here is {MAX_PIXELS:,}, and {MAX_SIDE:,} a side"
        raise DataError(text, place=place, hint="scale it down: images are resized to the source's image_size")
    return image


def dtype_of_labels(path: Path) -> str:
    """Return the dtype of a mask, from the file's header: uint16 for 16 bits, else (also if it is damaged) uint8."""
    try:
        need_pillow()
        with open_regular(path) as file:
            return "uint16" if open_image(file, path).mode.startswith("I") else "uint8"
    except DataError:
        return "uint8"


def _damaged(error: BaseException, path: Path) -> DamagedImage:
    return DamagedImage(f"damaged image: {safe_text(str(error), 120)}", place=str(path))


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
