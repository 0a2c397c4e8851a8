"""Dataset `mnist`: MNIST, 70,000 grayscale images of handwritten digits, 28 x 28; shipped in the package."""

import functools
import lzma
import math
import struct
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kerascli.data.base import Context, Field, Fields, Source, Tables, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.errors import DataError

_UINT8 = 0x08


def parse_idx(data: bytes | bytearray, name: str) -> np.ndarray:
    """Parse the bytes of an IDX file to a read-only uint8 array. Raises DataError."""
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UINT8 or not 1 <= data[3] <= 4:
        raise DataError("this is not an IDX file of bytes", place=name)
    start = 4 + 4 * data[3]
    shape = struct.unpack(f">{data[3]}I", data[4:start].ljust(4 * data[3], b"\0"))
    if math.prod(shape) != len(data) - start:
        raise DataError(f"the file says {math.prod(shape):,} values and has {max(0, len(data) - start):,}", place=name)
    values = np.frombuffer(data, np.uint8, offset=start).reshape(shape)
    values.flags.writeable = False
    return values


_FOLDER = Path(__file__).parent
_IMAGES, _LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
_PIECE = 2**22
_PREFIXES = {"train": "train", "test": "t10k"}


@source()
class Mnist(Source):
    """MNIST handwritten digits (LeCun et al., 1998): 60,000 images for training and 10,000 for testing.

    `x` (28, 28) uint8 in 0..255, `y` 0..9. Shipped in the package; nothing is downloaded.
    """

    def facts(self, context: Context) -> Fields:
        return {"x": Field((28, 28), "uint8"), "y": Field((), "uint8", num_classes=10)}

    def begin(self) -> None:
        _arrays()

    def load(self, context: Context) -> Tables:
        tables: dict[str, Table] = {}
        for split, prefix in _PREFIXES.items():
            x, y = (_arrays()[f"{prefix}-{kind}"].result() for kind in (_IMAGES, _LABELS))
            tables[split] = table_of({"x": x, "y": y}, f"mnist {split}")
        return tables

    def data_files(self, context: Context) -> list[Path]:
        return sorted(_FOLDER.glob("*.xz"))


@functools.cache
def _arrays() -> dict[str, Future[np.ndarray]]:
    """Start to unpack MNIST's arrays in a thread; return a mapping from file name to the future of its array.

    They are read-only, since all of the process shares them.
    """
    thread = ThreadPoolExecutor(1, "mnist")
    names = [f"{prefix}-{kind}" for prefix in _PREFIXES.values() for kind in (_IMAGES, _LABELS)]
    arrays = {name: thread.submit(lambda name=name: parse_idx(idx_bytes(name), name)) for name in names}
    thread.shutdown(wait=False)
    return arrays


def idx_bytes(name: str) -> bytearray:
    """Return the bytes of one of MNIST's four original files, unpacked in pieces so that memory holds it only once."""
    rows = 60_000 if name.startswith("train") else 10_000
    unpacked = bytearray(16 + 784 * rows if "images" in name else 8 + rows)
    unpacker, packed = lzma.LZMADecompressor(), (_FOLDER / f"{name}.xz").read_bytes()
    for start in range(0, len(unpacked), _PIECE):
        unpacked[start : start + _PIECE] = unpacker.decompress(packed if start == 0 else b"", _PIECE)
    return unpacked
