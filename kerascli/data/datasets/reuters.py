"""Dataset `reuters`: 11,228 newswires as sequences of token ids, for classification into 46 topics."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerascli.data.base import Context, Field, source
from kerascli.data.datasets.download import fetch
from kerascli.data.datasets.word_sequences import WordSequences, read_texts, remote, shuffled_rows
from kerascli.data.storage.table import Table
from kerascli.foundation.shapes import NonNegativeInt, OpenFraction

SHA256 = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"

CLASSES = (
    "cocoa", "grain", "veg-oil", "earn", "acq", "wheat", "copper", "housing", "money-supply", "coffee", "sugar",
    "trade", "reserves", "ship", "cotton", "carcass", "crude", "nat-gas", "cpi", "money-fx", "interest", "gnp",
    "meal-feed", "alum", "oilseed", "gold", "tin", "strategic-metal", "livestock", "retail", "ipi", "iron-steel",
    "rubber", "heat", "jobs", "lei", "bop", "zinc", "orange", "pet-chem", "dlr", "gas", "silver", "wpi", "hog", "lead",
)  # fmt: skip


@source()
class Reuters(WordSequences):
    """Reuters newswires: 11,228 texts on 46 topics. Downloaded once.

    `x` sequences of token ids, ranked by frequency, of varying length; `y` the topic, 0..45.
    """

    test_split: OpenFraction = 0.2
    """Fraction of the rows reserved for the split 'test'."""
    seed: NonNegativeInt = 113
    """Random seed for shuffling the rows before the split."""
    start_char: NonNegativeInt | None = 1
    """Token id added at the start of each sequence; null: no start token."""
    oov_char: NonNegativeInt | None = 2
    """Token id that replaces words excluded by `num_words` or `skip_top`; null: such words are dropped."""
    index_from: NonNegativeInt = 3
    """Offset added to the frequency rank of each word (1 is the most frequent) to get its token id."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": self.field(), "y": Field((), "int64", num_classes=46, classes=CLASSES)}

    def load(self, context: Context) -> Mapping[str, Table]:
        found = read_texts(fetch(remote("reuters.npz", SHA256), context), "reuters")
        found = found.take(shuffled_rows(self.seed, len(found.labels))[0])
        [found] = self.prepared([found], self.start_char, self.oov_char, self.index_from)
        rows = len(found.labels)
        until = int(rows * (1 - self.test_split))
        parts = {"train": np.arange(until), "test": np.arange(until, rows)}
        return {split: self.table(found.take(chosen), split) for split, chosen in parts.items() if len(chosen)}

    def files(self, context: Context) -> list[Path]:
        return [remote("reuters.npz", SHA256).local]
