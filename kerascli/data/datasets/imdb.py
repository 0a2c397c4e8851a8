"""IMDB: 50,000 film reviews as sequences of word numbers, good or bad; Maas et al., 2011."""

from collections.abc import Mapping
from pathlib import Path

from kerascli.data.base import Context, Field, source
from kerascli.data.datasets.download import fetch
from kerascli.data.datasets.word_sequences import WordSequences, read_texts, remote, shuffled_rows
from kerascli.data.storage.table import Table
from kerascli.shapes import NonNegativeInt

SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"


@source()
class Imdb(WordSequences):
    """25,000 reviews to train on and 25,000 to test: `x` word numbers, `y` 0 or 1; downloaded once."""

    seed: NonNegativeInt = 113
    """Of the order of the rows."""
    start_char: NonNegativeInt | None = 1
    """What every text begins with."""
    oov_char: NonNegativeInt | None = 2
    """What stands for other words; null: they are left out."""
    index_from: NonNegativeInt = 3
    """What is added to every word's number."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": self.field(), "y": Field((), "int64", num_classes=2)}

    def load(self, context: Context) -> Mapping[str, Table]:
        data = fetch(remote("imdb.npz", SHA256), context)
        parts = [read_texts(data, "imdb", suffix) for suffix in ("_train", "_test")]
        orders = shuffled_rows(self.seed, *(len(part.labels) for part in parts))
        mixed = [part.take(order) for part, order in zip(parts, orders, strict=True)]
        train, test = self.prepared(mixed, self.start_char, self.oov_char, self.index_from)
        return {"train": self.table(train, "train"), "test": self.table(test, "test")}

    def files(self, context: Context) -> list[Path]:
        return [remote("imdb.npz", SHA256).local]
