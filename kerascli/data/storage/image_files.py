"""Column of image files as arrays of one size, decoded on access. Needs Pillow.

All images are decoded once before training, so that every damaged one is known before the first step.
"""

import contextlib
import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerascli.cpus import cpu_limit
from kerascli.data.storage.on_disk import Direct, Rows, Values, compose_rows
from kerascli.disk.files import read_bytes
from kerascli.errors import DataError, Fault, Place, safe_text

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 2**26
"""Maximum number of pixels of an image, checked in the file's header before decoding."""

_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_FORMATS = ("BMP", "GIF", "JPEG", "PNG")
_THREADS = min(8, cpu_limit().count)
_LARGE_PIXELS = 2**23
_one_large = threading.Lock()
"""Lock for decoding images with more than _LARGE_PIXELS one at a time, to limit memory."""
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, zlib.error,
            struct.error, MemoryError, Warning)  # fmt: skip
"""Exceptions that Pillow raises for damaged files."""


class DamagedImage(DataError):
    """Error about a file that is no image, or that is incomplete."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Settings for decoding image files: size (height, width), color mode, interpolation, and cropping."""

    size: tuple[int, int]
    color_mode: str
    interpolation: str
    crop: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.size, len(_MODES[self.color_mode]))


class Images(Direct):
    """Column of images (rows, height, width, channels), uint8, decoded on access."""

    def __init__(self, files: list[Path], reading: Reading) -> None:
        height, width, channels = reading.shape
        super().__init__(len(files), reading.shape, np.dtype(np.uint8), height * width * channels)
        self._files = files
        self._reading = reading

    def __getitem__(self, rows: Rows) -> np.ndarray:
        rows = compose_rows(self._rows, rows)
        files = self._files[rows] if isinstance(rows, slice) else [self._files[row] for row in rows]
        out = np.empty((len(files), *self.row_shape), np.uint8)
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
        out = np.zeros((len(self), *self.row_shape), np.uint8) if in_memory else None
        reading = self._reading if in_memory else replace(self._reading, size=(8, 8), interpolation="nearest")
        decode = partial(_decoded_or_fault, reading=reading, reduced=not in_memory)
        with ThreadPoolExecutor(_THREADS) as threads:
            for row, found in enumerate(threads.map(decode, self._files)):
                if isinstance(found, Fault):
                    faults[row] = found
                elif out is not None:
                    out[row] = found
        return self if out is None else out, faults

    def _decoded(self, path: Path) -> np.ndarray:
        return decoded(path, self._reading)


def _decoded_or_fault(path: Path, *, reading: Reading, reduced: bool) -> np.ndarray | Fault:
    try:
        return decoded(path, reading, reduced=reduced)
    except DamagedImage as error:
        return error.faults[0]


def need_pillow() -> None:
    """Raise DataError if Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise DataError("image files need Pillow", hint="pip install 'kerascli[images]'") from None


def decoded(path: Path, reading: Reading, *, reduced: bool = False) -> np.ndarray:
    """Decode an image file to an array (height, width, channels), uint8. Raises DamagedImage and DataError.

    `reduced` decodes a JPEG at an eighth of its size, which is faster and finds the same damage.
    """
    from PIL import Image, UnidentifiedImageError

    data = read_bytes(path, MAX_BYTES)
    place = Place(str(path))
    if not data:
        raise DamagedImage(Fault("the file is empty", place=place))
    Image.MAX_IMAGE_PIXELS = None  # Pillow only warns on stderr above its limit; MAX_PIXELS is lower
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        pixels = image.width * image.height
        if pixels > MAX_PIXELS:
            text = f"{pixels:,} pixels; the limit here is {MAX_PIXELS:,}"
            raise DataError(Fault(text, place=place, hint=f"scale it down: it is resized to {reading.size}"))
        if reduced:
            image.draft(None, (1, 1))
        with _one_large if pixels > _LARGE_PIXELS else contextlib.nullcontext():
            array = np.asarray(_resized(_converted(image, reading), reading))
    except UnidentifiedImageError:
        raise DamagedImage(
            Fault(f"not an image of a supported format ({', '.join(_FORMATS).lower()})", place=place)
        ) from None
    except _DAMAGED as error:
        text = f"damaged image: {safe_text(str(error), 120)}"
        raise DamagedImage(Fault(text, place=place)) from None
    return array.reshape(reading.shape)


def _converted(image: Any, reading: Reading) -> Any:
    mode = _MODES[reading.color_mode]
    return image if image.mode == mode else image.convert(mode)


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
