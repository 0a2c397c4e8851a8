"""Datasets `fashion_mnist` and `kmnist`: 70,000 grayscale images each, 28 x 28, of clothing and of cursive Hiragana.

Fashion-MNIST: Zalando SE, MIT license. KMNIST: Clanuwat et al., Deep Learning for Classical Japanese Literature, 2018;
Center for Open Data in the Humanities, CC BY-SA 4.0.
"""

import functools
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from kerascli.data.base import Context, Field, Fields, Source, Tables, source
from kerascli.data.datasets.download import KERAS_FILES, Remote, fetch
from kerascli.data.datasets.mnist import parse_idx
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.errors import DataError

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
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
MD5 = {
    "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
    "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
    "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
    "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
}
"""Mapping from file name to the MD5 of KMNIST's packed file, as torchvision states it."""


@source()
class FashionMnist(Source):
    """Fashion-MNIST: grayscale images of clothing in 10 classes, 60,000 for training and 10,000 for testing.

    `x` (28, 28) uint8 in 0..255, `y` 0..9. Downloaded once, unless Debian's package dataset-fashion-mnist is installed.
    """

    address: ClassVar[str] = KERAS_FILES
    """Address of the folder with the files."""
    folder: ClassVar[str] = "fashion-mnist"
    """Name of the folder in Keras's cache of datasets."""
    classes: ClassVar[tuple[str, ...]] = CLASSES
    checksums: ClassVar[Mapping[str, str]] = SHA256
    """Mapping from file name to the unpacked file's SHA-256, or to the packed file's MD5."""
    packages: ClassVar[Path | None] = PACKAGED
    """Folder in which a system package installs the files; None if there is no such package."""

    def facts(self, context: Context) -> Fields:
        return {"x": Field((28, 28), "uint8"), "y": Field((), "uint8", num_classes=10, classes=self.classes)}

    def load(self, context: Context) -> Tables:
        tables: dict[str, Table] = {}
        for split, files in _FILES.items():
            x, y = (self._unpacked(fetch(self._remote(name, shape), context), name, shape) for name, shape in files)
            tables[split] = table_of({"x": x, "y": y}, f"{self.component_name} {split}")
        return tables

    def data_files(self, context: Context) -> list[Path]:
        return [self._remote(name, shape).place for files in _FILES.values() for name, shape in files]

    @classmethod
    def _remote(cls, name: str, shape: tuple[int, ...]) -> Remote:
        problem = functools.partial(cls.problem, name=name, shape=shape)
        packaged = cls.packages and cls.packages / name
        return Remote(f"{cls.address}/{name}", f"{cls.folder}/{name}", 64 * 2**20, problem, packaged)

    @classmethod
    def problem(cls, data: bytes, name: str, shape: tuple[int, ...]) -> str | None:
        """Return the problem with the contents of a file as text, or None if they are valid."""
        try:
            cls._unpacked(data, name, shape)
        except DataError as error:
            return str(error)
        return None

    @classmethod
    def _unpacked(cls, data: bytes, name: str, shape: tuple[int, ...]) -> np.ndarray:
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
        digests = hashlib.sha256(raw).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest()
        if cls.checksums[name] not in digests:
            raise DataError(f"its digest is not that of {cls.component_name}")
        return array


@source()
class Kmnist(FashionMnist):
    """KMNIST: grayscale images of cursive Hiragana in 10 classes, 60,000 for training and 10,000 for testing.

    `x` (28, 28) uint8 in 0..255, `y` 0..9: o, ki, su, tsu, na, ha, ma, ya, re, wo. Downloaded once.
    """

    address, folder = "http://codh.rois.ac.jp/kmnist/dataset/kmnist", "kmnist"
    classes, checksums, packages = HIRAGANA, MD5, None
