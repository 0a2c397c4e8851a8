"""Dataset `cifar100`: CIFAR-100, 60,000 color images, 32 x 32, in 100 classes of 20 superclasses (Krizhevsky, 2009)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.datasets.cifar_batch import cifar_archive, read_cifar
from kerascli.data.datasets.download import Remote, fetch
from kerascli.data.storage.table import Table

SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
_CLASSES = {"fine": 100, "coarse": 20}


@source(name="cifar100", aliases=("cifar_100",))
class Cifar100(Source):
    """CIFAR-100 (Krizhevsky, 2009): color images in 100 classes, 50,000 for training and 10,000 for testing.

    `x` (32, 32, 3) uint8 in 0..255, `y` (1,) uint8. Downloaded once.
    """

    label_mode: Literal["fine", "coarse"] = "fine"
    """Labels of the images: fine (100 classes) or coarse (their 20 superclasses)."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": Field((32, 32, 3), "uint8"), "y": Field((1,), "uint8", num_classes=_CLASSES[self.label_mode])}

    def load(self, context: Context) -> Mapping[str, Table]:
        batches = {"train": ("train",), "test": ("test",)}
        key = f"{self.label_mode}_labels"
        return read_cifar(fetch(archive(), context), "cifar100", batches, key, _CLASSES[self.label_mode])

    def files(self, context: Context) -> list[Path]:
        return [archive().local]


def archive() -> Remote:
    """Return the location of the CIFAR-100 archive: its URL, and its path in Keras's cache."""
    return cifar_archive("cifar-100-python.tar.gz", "cifar-100-python-target_archive", SHA256)
