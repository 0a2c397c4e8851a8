"""CIFAR-100: 60,000 colour pictures, 32 x 32, of a hundred kinds of things in twenty groups; Alex Krizhevsky, 2009."""

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
    """50,000 pictures to train on and 10,000 to test: `x` (32, 32, 3) uint8, `y` (1,); downloaded once."""

    label_mode: Literal["fine", "coarse"] = "fine"
    """fine: 100 classes; coarse: the 20 groups that they are in."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": Field((32, 32, 3), "uint8"), "y": Field((1,), "uint8", num_classes=_CLASSES[self.label_mode])}

    def load(self, context: Context) -> Mapping[str, Table]:
        batches = {"train": ("train",), "test": ("test",)}
        key = f"{self.label_mode}_labels"
        return read_cifar(fetch(archive(), context), "cifar100", batches, key, _CLASSES[self.label_mode])

    def files(self, context: Context) -> list[Path]:
        return [archive().local]


def archive() -> Remote:
    """The archive under the name that Keras gives it."""
    return cifar_archive("cifar-100-python.tar.gz", "cifar-100-python-target_archive", SHA256)
