"""Dataset `cifar10`: CIFAR-10, 60,000 color images, 32 x 32, in 10 classes (Krizhevsky, 2009)."""

from collections.abc import Mapping
from pathlib import Path

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.datasets.cifar_batch import cifar_archive, read_cifar
from kerascli.data.datasets.download import Remote, fetch
from kerascli.data.storage.table import Table

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
_BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}


@source(name="cifar10", aliases=("cifar_10",))
class Cifar10(Source):
    """CIFAR-10 (Krizhevsky, 2009): color images in 10 classes, 50,000 for training and 10,000 for testing.

    `x` (32, 32, 3) uint8 in 0..255, `y` (1,) uint8 in 0..9. Downloaded once.
    """

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": Field((32, 32, 3), "uint8"), "y": Field((1,), "uint8", num_classes=10, classes=CLASSES)}

    def load(self, context: Context) -> Mapping[str, Table]:
        return read_cifar(fetch(archive(), context), "cifar10", _BATCHES, "labels", len(CLASSES))

    def files(self, context: Context) -> list[Path]:
        return [archive().local]


def archive() -> Remote:
    """Return the location of the CIFAR-10 archive: its URL, and its path in Keras's cache."""
    return cifar_archive("cifar-10-python.tar.gz", "cifar-10-batches-py-target_archive", SHA256)
