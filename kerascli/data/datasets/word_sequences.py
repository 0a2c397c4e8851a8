"""Datasets `imdb` and `reuters`: texts as sequences of token ids, with the arguments of Keras's `load_data`."""

import io
import zipfile
from typing import NamedTuple

import numpy as np

from kerascli.data.base import Context, Field, Fields, Tables, source
from kerascli.data.datasets.download import KERAS_FILES, Downloaded, fetch
from kerascli.data.datasets.object_pickle import parse_sequences
from kerascli.data.storage.table import Table, table_of
from kerascli.data.storage.tokens import Tokens
from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import NonNegativeInt, OpenFraction, PositiveInt


class LabelledTexts(NamedTuple):
    """Texts of a dataset as token ids, with integer class labels."""

    texts: Tokens
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "LabelledTexts":
        return LabelledTexts(self.texts.take(rows), self.labels[rows])


class WordSequences(Downloaded):
    """Base class of `imdb` and `reuters`, with the arguments of Keras's `load_data` in the same order."""

    num_words: PositiveInt | None = None
    """Upper bound (exclusive) of the token ids to keep; others become `oov_char`. null: the largest id, as in Keras."""
    skip_top: NonNegativeInt = 0
    """Lower bound of the token ids to keep, after `index_from` is added; smaller ids become `oov_char`."""
    maxlen: PositiveInt | None = None
    """Upper bound (exclusive) of the length, `start_char` included; longer texts are dropped. null: no limit."""
    seed: NonNegativeInt = 113
    """Random seed for shuffling the rows of each split, or of all before they are split."""
    start_char: NonNegativeInt | None = 1
    """Token id added at the start of each sequence; null: no start token."""
    oov_char: NonNegativeInt | None = 2
    """Token id that replaces words excluded by `num_words` or `skip_top`; null: such words are dropped."""
    index_from: NonNegativeInt = 3
    """Offset added to the frequency rank of each word (1 is the most frequent) to get its token id."""

    def field(self) -> Field:
        return Field((None,), "sequence", vocabulary_size=self.num_words)

    def prepared(self, parts: list[LabelledTexts]) -> list[LabelledTexts]:
        """Return the texts with start tokens and `index_from` added, and `num_words`, `skip_top` and `maxlen` applied.

        Raises DataError if a part has no text left.
        """
        parts = [part._replace(texts=self._marked(part.texts)) for part in parts]
        if self.maxlen is not None:
            parts = [part.take(np.flatnonzero(part.texts.lengths < self.maxlen)) for part in parts]
        if not all(len(part.labels) for part in parts):
            text = f"maxlen: no text has fewer than {self.maxlen} tokens"
            raise DataError(text, path=("data", "source", self.component_name, "maxlen"))
        most = self.num_words or max(int(part.texts.values.max(initial=0)) for part in parts)
        return [part._replace(texts=self._limited(part.texts, most)) for part in parts]

    def _marked(self, texts: Tokens) -> Tokens:
        """Add `index_from` to every token id, and put `start_char` before each text."""
        values = texts.values + np.int32(self.index_from)
        if self.start_char is None:
            return Tokens(values, texts.lengths)
        begins = np.cumsum(texts.lengths) - texts.lengths
        return Tokens(np.insert(values, begins, self.start_char), texts.lengths + 1)

    def _limited(self, texts: Tokens, most: int) -> Tokens:
        kept = (texts.values >= self.skip_top) & (texts.values < most)
        if self.oov_char is None:
            return texts.keep(kept)
        return Tokens(np.where(kept, texts.values, np.int32(self.oov_char)), texts.lengths)

    def table(self, part: LabelledTexts, split: str) -> Table:
        name = f"{self.component_name} {split}"
        return table_of({"x": part.texts.sequences(), "y": part.labels.astype(np.int64)}, name)


def read_texts(data: bytes, name: str, suffix: str = "") -> LabelledTexts:
    """Read token ids (array `x` of pickled lists) and labels (`y`) from an npz file, whose digest is known; `suffix` is
    added to both names. Raises DataError."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        texts, labels = (archive.read(f"{key}{suffix}.npy") for key in "xy")
    numbers = np.lib.format.read_array(io.BytesIO(labels), allow_pickle=False)
    return LabelledTexts(parse_sequences(texts, len(numbers), f"{name}: 'x{suffix}'"), numbers)


def shuffled_rows(seed: int, *rows: int) -> list[np.ndarray]:
    """Return row indices for each part of a dataset (train, test), shuffled as Keras's `load_data` does.

    Uses numpy's legacy RandomState, whose stream is frozen.
    """
    random = np.random.RandomState(seed)
    orders = [np.arange(count) for count in rows]
    for order in orders:
        random.shuffle(order)
    return orders


def train_and_test(rows: np.ndarray, test_split: float) -> dict[str, np.ndarray]:
    """Divide rows into those of the splits `train` and `test`, the last ones; a split without rows is left out."""
    until = int(len(rows) * (1 - test_split))
    return {split: part for split, part in (("train", rows[:until]), ("test", rows[until:])) if len(part)}


@source()
class Imdb(WordSequences):
    """IMDB film reviews (Maas et al., 2011): 25,000 for training and 25,000 for testing. Downloaded once.

    `x` sequences of token ids, ranked by frequency, of varying length; `y` the sentiment, 0 (negative) or 1 (positive).
    """

    url = f"{KERAS_FILES}/imdb.npz"

    def facts(self, context: Context) -> Fields:
        return {"x": self.field(), "y": Field((), "int64", num_classes=2)}

    def load(self, context: Context) -> Tables:
        data = fetch(self.remote(), context)
        parts = [read_texts(data, "imdb", suffix) for suffix in ("_train", "_test")]
        orders = shuffled_rows(self.seed, *(len(part.labels) for part in parts))
        train, test = self.prepared([part.take(order) for part, order in zip(parts, orders, strict=True)])
        return {"train": self.table(train, "train"), "test": self.table(test, "test")}


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

    url = f"{KERAS_FILES}/reuters.npz"

    test_split: OpenFraction = 0.2
    """Fraction of the rows reserved for the split 'test'."""

    def facts(self, context: Context) -> Fields:
        return {"x": self.field(), "y": Field((), "int64", num_classes=46, classes=CLASSES)}

    def load(self, context: Context) -> Tables:
        texts = read_texts(fetch(self.remote(), context), "reuters")
        texts = texts.take(shuffled_rows(self.seed, len(texts.labels))[0])
        [texts] = self.prepared([texts])
        parts = train_and_test(np.arange(len(texts.labels)), self.test_split)
        return {split: self.table(texts.take(rows), split) for split, rows in parts.items()}
