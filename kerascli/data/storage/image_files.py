"""Image files as a column of arrays of one size, decoded when they are asked for. Needs Pillow."""

import contextlib
import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerascli.cpus import cpu_limit
from kerascli.data.storage.on_disk import Direct, Rows, chosen
from kerascli.errors import DataError, Fault, Place, safe_text
from kerascli.files import read_bytes

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 2**26
"""Of one file; its header says how many there are before any is decoded."""

_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_FORMATS = ("BMP", "GIF", "JPEG", "PNG")
_THREADS = min(8, cpu_limit().count)
_LARGE_PIXELS = 2**23
_one_large = threading.Lock()
"""Lock under which images with more pixels are decoded, one at a time: together they would fill the memory."""
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, zlib.error,
            struct.error, MemoryError, Warning)  # fmt: skip
"""What Pillow raises at damaged files."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How files become arrays."""

    size: tuple[int, int]
    color_mode: str
    interpolation: str
    crop: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.size, len(_MODES[self.color_mode]))


class Images(Direct):
    """An image a row, uint8."""

    def __init__(self, files: list[Path], reading: Reading) -> None:
        height, width, channels = reading.shape
        super().__init__(len(files), reading.shape, np.dtype(np.uint8), height * width * channels)
        self._files = files
        self._reading = reading

    def __getitem__(self, rows: Rows) -> np.ndarray:
        rows = chosen(self._rows, rows)
        files = self._files[rows] if isinstance(rows, slice) else [self._files[row] for row in rows]
        out = np.empty((len(files), *self.row_shape), np.uint8)
        with ThreadPoolExecutor(_THREADS) as threads:  # Pillow decodes without the interpreter's lock
            for row, image in enumerate(threads.map(self._decoded, files)):
                out[row] = image
        return out

    def _decoded(self, path: Path) -> np.ndarray:
        return decoded(path, self._reading)


def need_pillow() -> None:
    """Raises DataError where Pillow is missing."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise DataError("image files need Pillow", hint="pip install 'kerascli[images]'") from None


def decoded(path: Path, reading: Reading) -> np.ndarray:
    """One file as (height, width, channels), uint8. Raises DataError."""
    from PIL import Image, UnidentifiedImageError

    data = read_bytes(path, MAX_BYTES)
    place = Place(str(path))
    Image.MAX_IMAGE_PIXELS = None  # Pillow warns on stderr, and later; the limit here is lower
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        pixels = image.width * image.height
        if pixels > MAX_PIXELS:
            text = f"{pixels:,} pixels; the limit here is {MAX_PIXELS:,}"
            raise DataError(Fault(text, place=place, hint=f"scale it down: {reading.size} is what it is used in"))
        with _one_large if pixels > _LARGE_PIXELS else contextlib.nullcontext():
            array = np.asarray(_resized(_converted(image, reading), reading))
    except UnidentifiedImageError:
        raise DataError(Fault(f"this is no image ({', '.join(_FORMATS).lower()})", place=place)) from None
    except _DAMAGED as error:
        text = f"not a sound image: {safe_text(str(error), 120)}"
        raise DataError(Fault(text, place=place)) from None
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
