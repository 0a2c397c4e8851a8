"""Dataset `fashion_mnist`: Fashion-MNIST, 70,000 grayscale images of clothing, 28 x 28; Zalando SE, MIT license."""

import functools
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.datasets.download import Remote, fetch
from kerascli.data.datasets.mnist import parse_idx
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.errors import DataError

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

_BASE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"
_FILES = {
    "train": (("train-images-idx3-ubyte.gz", (60_000, 28, 28)), ("train-labels-idx1-ubyte.gz", (60_000,))),
    "test": (("t10k-images-idx3-ubyte.gz", (10_000, 28, 28)), ("t10k-labels-idx1-ubyte.gz", (10_000,))),
}
PACKAGED = Path("/usr/share/datasets/fashion-mnist")
"""Folder in which Debian's package dataset-fashion-mnist installs the files."""
SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""Mapping from file name to the unpacked file's SHA-256 as published by Zalando; mirrors differ in compression."""


@source()
class FashionMnist(Source):
    """Fashion-MNIST: grayscale images of clothing in 10 classes, 60,000 for training and 10,000 for testing.

    `x` (28, 28) uint8 in 0..255, `y` 0..9. Downloaded once, unless Debian's package dataset-fashion-mnist is installed.
    """

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": Field((28, 28), "uint8"), "y": Field((), "uint8", num_classes=10, classes=CLASSES)}

    def load(self, context: Context) -> Mapping[str, Table]:
        tables: dict[str, Table] = {}
        for split, files in _FILES.items():
            x, y = (_unpack(fetch(_remote(name, shape), context), name, shape) for name, shape in files)
            tables[split] = table_of({"x": x, "y": y}, f"fashion_mnist {split}")
        return tables

    def data_files(self, context: Context) -> list[Path]:
        return [_remote(name, shape).place for files in _FILES.values() for name, shape in files]


def _remote(name: str, shape: tuple[int, ...]) -> Remote:
    problem = functools.partial(_problem, name=name, shape=shape)
    return Remote(f"{_BASE}/{name}", f"fashion-mnist/{name}", 64 * 2**20, problem, PACKAGED / name)


def _problem(data: bytes, name: str, shape: tuple[int, ...]) -> str | None:
    """Return the problem with the contents of a Fashion-MNIST file as text, or None if they are valid."""
    try:
        _unpack(data, name, shape)
    except DataError as error:
        return str(error)
    return None


def _unpack(data: bytes, name: str, shape: tuple[int, ...]) -> np.ndarray:
    limit = int(np.prod(shape)) + 64
    unpacker = zlib.decompressobj(wbits=31)
    try:
        raw = unpacker.decompress(data, limit)
    except zlib.error:
        raise DataError("the file is damaged (gzip)") from None
    if not unpacker.eof:
        raise DataError("the file is incomplete or too large (gzip)")
    array = parse_idx(raw, name)
    if array.shape != shape:
        raise DataError(f"expected an array of shape {shape}, the file has {array.shape}")
    if hashlib.sha256(raw).hexdigest() != SHA256[name]:
        raise DataError("its sha256 is not that of Fashion-MNIST")
    return array
