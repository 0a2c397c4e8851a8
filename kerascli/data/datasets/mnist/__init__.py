"""MNIST: 70,000 handwritten digits, 28 x 28 grey values; inside the package, nothing is downloaded."""

import functools
import lzma
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.datasets.idx import parse_idx
from kerascli.data.table import Table, table_of

_FOLDER = Path(__file__).parent
_PIECE = 2**22
_PREFIXES = {"train": "train", "test": "t10k"}


@source()
class Mnist(Source):
    """60,000 digits to train on and 10,000 to test: `x` (28, 28) uint8, `y` 0..9."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": Field((28, 28), "uint8"), "y": Field((), "uint8", num_classes=10)}

    def load(self, context: Context) -> Mapping[str, Table]:
        tables: dict[str, Table] = {}
        for split, prefix in _PREFIXES.items():
            columns = {"x": _array(f"{prefix}-images-idx3-ubyte"), "y": _array(f"{prefix}-labels-idx1-ubyte")}
            tables[split] = table_of(columns, f"mnist {split}")
        return tables

    def files(self, context: Context) -> list[Path]:
        return sorted(_FOLDER.glob("*.xz"))


@functools.cache
def _array(name: str) -> np.ndarray:
    """Read-only, so one copy serves the whole process."""
    return parse_idx(idx_bytes(name), name)


def idx_bytes(name: str) -> bytearray:
    """One of the four original files, byte by byte; unpacked in pieces, or it would lie in memory twice."""
    rows = 60_000 if name.startswith("train") else 10_000
    unpacked = bytearray(16 + 784 * rows if "images" in name else 8 + rows)
    view = memoryview(unpacked)
    with lzma.open(_FOLDER / f"{name}.xz") as file:
        for start in range(0, len(view), _PIECE):
            file.readinto(view[start : start + _PIECE])
    return unpacked
