"""Dataset `imdb`: 50,000 film reviews as sequences of token ids, for sentiment classification (Maas et al., 2011)."""

from collections.abc import Mapping
from pathlib import Path

from kerascli.data.base import Context, Field, source
from kerascli.data.datasets.download import fetch
from kerascli.data.datasets.word_sequences import WordSequences, read_texts, remote, shuffled_rows
from kerascli.data.storage.table import Table
from kerascli.foundation.shapes import NonNegativeInt

SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"


@source()
class Imdb(WordSequences):
    """IMDB film reviews (Maas et al., 2011): 25,000 for training and 25,000 for testing. Downloaded once.

    `x` sequences of token ids, ranked by frequency, of varying length; `y` the sentiment, 0 (negative) or 1 (positive).
    """

    seed: NonNegativeInt = 113
    """Random seed for shuffling the rows of each split."""
    start_char: NonNegativeInt | None = 1
    """Token id added at the start of each sequence; null: no start token."""
    oov_char: NonNegativeInt | None = 2
    """Token id that replaces words excluded by `num_words` or `skip_top`; null: such words are dropped."""
    index_from: NonNegativeInt = 3
    """Offset added to the frequency rank of each word (1 is the most frequent) to get its token id."""

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
