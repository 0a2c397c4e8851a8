"""Datasets `cifar10` and `cifar100` (Krizhevsky, 2009), whose batches are pickles, read without unpickling.

The opcodes of a pickle are only listed; none is executed. Every batch has the same form: the pixels are its one long
byte string, the labels are the list of small integers after their key.
"""

import io
import pickletools
import tarfile
from collections.abc import Mapping
from typing import Literal

import numpy as np

from kerascli.data.base import Context, Field, Fields, Tables, source
from kerascli.data.datasets.download import Downloaded, fetch
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.errors import DataError

_SITE = "https://www.cs.toronto.edu/~kriz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_PIXELS = 3 * 32 * 32
_BYTES = {"BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"}
_TEXT = {"BINUNICODE", "SHORT_BINUNICODE", *_BYTES}
_NUMBERS = {"BININT1", "BININT2", "BININT"}


def read_cifar(
    data: bytes, name: str, splits: Mapping[str, tuple[str, ...]], key: str, classes: int
) -> dict[str, Table]:
    """Return a mapping from split to table of CIFAR images and labels, read from an archive whose digest is known.

    Nothing is extracted to disk. Raises DataError. `splits` maps the name of a split to the names of its files.
    """
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        batches = {each.name.rpartition("/")[2]: file.read() for each in tar if (file := tar.extractfile(each))}
    tables: dict[str, Table] = {}
    for split, names in splits.items():
        x, y = zip(*(parse_batch(batches[each], f"{name}: '{each}'", key, classes) for each in names), strict=True)
        pictures = np.concatenate(x).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        columns = {"x": np.ascontiguousarray(pictures), "y": np.concatenate(y)[:, None]}
        tables[split] = table_of(columns, f"{name} {split}")
    return tables


def parse_batch(data: bytes, where: str, key: str = "labels", classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Parse a pickled batch of CIFAR images to pixels (N, 3072) and labels (N,), both uint8. Raises DataError."""
    pixels = b""
    labels: list[int] = []
    in_labels = False
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _NUMBERS and in_labels and isinstance(argument, int):
                labels.append(argument)
            elif opcode.name in _TEXT:
                in_labels = argument in (key, key.encode())
                if opcode.name in _BYTES and argument is not None and len(argument) > len(pixels):
                    pixels = argument if isinstance(argument, bytes) else argument.encode("latin-1")
    except (ValueError, UnicodeError) as error:
        raise DataError(f"{where} cannot be read: {str(error)[:100]}") from None
    if not labels or len(pixels) != _PIXELS * len(labels) or not all(0 <= label < classes for label in labels):
        raise DataError(f"{where} has {len(pixels):,} bytes of pixels and {len(labels):,} labels")
    return np.frombuffer(pixels, np.uint8).reshape(-1, _PIXELS), np.array(labels, np.uint8)


@source(name="cifar10", aliases=("cifar_10",))
class Cifar10(Downloaded):
    """CIFAR-10 (Krizhevsky, 2009): color images in 10 classes, 50,000 for training and 10,000 for testing.

    `x` (32, 32, 3) uint8 in 0..255, `y` (1,) uint8 in 0..9. Downloaded once.
    """

    url = f"{_SITE}/cifar-10-python.tar.gz"
    cached_as = "cifar-10-batches-py-target_archive"

    def facts(self, context: Context) -> Fields:
        return {"x": Field((32, 32, 3), "uint8"), "y": Field((1,), "uint8", num_classes=10, classes=CLASSES)}

    def load(self, context: Context) -> Tables:
        splits = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
        return read_cifar(fetch(self.remote(), context), "cifar10", splits, "labels", len(CLASSES))


@source(name="cifar100", aliases=("cifar_100",))
class Cifar100(Downloaded):
    """CIFAR-100 (Krizhevsky, 2009): color images in 100 classes, 50,000 for training and 10,000 for testing.

    `x` (32, 32, 3) uint8 in 0..255, `y` (1,) uint8. Downloaded once.
    """

    url = f"{_SITE}/cifar-100-python.tar.gz"
    cached_as = "cifar-100-python-target_archive"

    label_mode: Literal["fine", "coarse"] = "fine"
    """Labels of the images: fine (100 classes) or coarse (their 20 superclasses)."""

    def facts(self, context: Context) -> Fields:
        return {"x": Field((32, 32, 3), "uint8"), "y": Field((1,), "uint8", num_classes=self._classes)}

    def load(self, context: Context) -> Tables:
        splits = {"train": ("train",), "test": ("test",)}
        key = f"{self.label_mode}_labels"
        return read_cifar(fetch(self.remote(), context), "cifar100", splits, key, self._classes)

    @property
    def _classes(self) -> int:
        return 100 if self.label_mode == "fine" else 20
