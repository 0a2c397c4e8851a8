"""CIFAR-10: 60,000 colour pictures, 32 x 32, of ten kinds of things; Alex Krizhevsky, 2009."""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.datasets.cifar_batch import parse_batch
from kerascli.data.datasets.download import Remote, fetch
from kerascli.data.table import Table, table_of
from kerascli.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
_BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}


@source(name="cifar10", aliases=("cifar_10",))
class Cifar10(Source):
    """50,000 pictures to train on and 10,000 to test: `x` (32, 32, 3) uint8, `y` (1,) 0..9; downloaded once."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": Field((32, 32, 3), "uint8"), "y": Field((1,), "uint8", num_classes=10, classes=CLASSES)}

    def load(self, context: Context) -> Mapping[str, Table]:
        batches = _batches(fetch(archive(), context))
        tables: dict[str, Table] = {}
        for split, names in _BATCHES.items():
            x, y = zip(*(parse_batch(batches[name], name) for name in names), strict=True)
            pictures = np.concatenate(x).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            columns = {"x": np.ascontiguousarray(pictures), "y": np.concatenate(y)[:, None]}
            tables[split] = table_of(columns, f"cifar10 {split}")
        return tables

    def files(self, context: Context) -> list[Path]:
        return [archive().local]


def archive() -> Remote:
    """The archive under the name that Keras gives it."""
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    return Remote(url, "cifar-10-batches-py-target_archive", 256 * 2**20, _problem)


def _problem(data: bytes) -> str | None:
    return None if hashlib.sha256(data).hexdigest() == SHA256 else "the file is damaged (its SHA-256 is another)"


def _batches(data: bytes) -> dict[str, bytes]:
    """The batches by name, read in memory: nothing is extracted to disk."""
    wanted = {name for names in _BATCHES.values() for name in names}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if member.isreg() and name in wanted and (file := tar.extractfile(member)):
                    found[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"cifar10: the archive cannot be read: {error}") from None
    if missing := wanted - set(found):
        raise DataError(f"cifar10: the archive has no '{sorted(missing)[0]}'")
    return found
