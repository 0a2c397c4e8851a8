"""Initializers `image` and `file`, which fill a weight with a picture or an array of a file."""

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kerascli.data.base import InFolder
from kerascli.data.storage.array_files import read_arrays
from kerascli.data.storage.image_files import COLOR_MODES, Reading
from kerascli.foundation.errors import DataError, FileRefused, safe_text
from kerascli.foundation.shapes import Size2D, ValueRange, show_shape
from kerascli.parts.base import INITIALIZERS, Initializer, part


class FromFile(Initializer, InFolder):
    """Base class of initializers with the contents of a file, which is read when a training starts."""

    paths = ("path",)

    path: str
    """Path of the file, relative to the config's folder."""

    @abstractmethod
    def read(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the file's numbers for a weight of `shape`. Raises DataError, FileRefused."""

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return torch.from_numpy(self.read(shape)).to(dtype).reshape(shape)


@part(INITIALIZERS)
class Image(FromFile):
    """Initializer with a picture (png, jpeg, gif, bmp), for a weight [1, height, width, channels]; needs Pillow.

    A weight of 1, 3 or 4 channels gets grey values, colors (red, green, blue), or colors and opacity.
    """

    size: Size2D | None = None
    """Height and width that the picture is resized to, those of the weight; null: those of the weight."""
    value_range: ValueRange = (0.0, 1.0)
    """Numbers for black and white, such as [0, 1], [-1, 1] or [0, 255]."""

    def check(self, shape: tuple[int, ...]) -> None:
        *single, height, width, channels = (0, 0, *shape) if len(shape) < 3 else shape
        if set(single) - {1} or channels not in COLOR_MODES or not height:
            raise ValueError(f"a picture fills [1, height, width, 1, 3 or 4 channels], got {show_shape(shape)}")
        if self.size not in (None, (height, width)):
            raise ValueError(f"the picture's size is {list(self.size or ())}, the weight's is {[height, width]}")

    def read(self, shape: tuple[int, ...]) -> np.ndarray:
        height, width, channels = shape[-3:]
        reading = Reading((height, width), COLOR_MODES[channels], "bilinear", crop=False)
        reading.need()
        pixels = reading.decode(Path(self.path))
        black, white = self.value_range
        return (black + pixels.astype(np.float64) / 255 * (white - black)).astype(np.float32)


@part(INITIALIZERS)
class File(FromFile):
    """Initializer with the array of an npy file, which has the weight's shape."""

    def read(self, shape: tuple[int, ...]) -> np.ndarray:
        arrays = list(read_arrays(Path(self.path), self.path).values())
        where = f"'{safe_text(self.path)}'"
        if len(arrays) != 1:
            raise DataError(f"{where} has {len(arrays)} arrays; expected one", hint="save it by numpy.save")
        array = np.array(arrays[0])
        if array.shape != shape:
            raise DataError(f"{where} has the shape {array.shape}; the weight has {shape}")
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise FileRefused(f"{where} holds something other than finite numbers")
        return array
