"""Text of a pipeline's columns: the distinct texts, and the index of each value among them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from kerascli.data.storage.column import arrow
from kerascli.data.storage.tokens import Tokens, as_objects

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Texts:
    """Rows of text: the distinct texts, and each value's index among them."""

    words: "pa.Array"
    """Distinct texts, a pyarrow array of strings in which '' is a missing value."""
    codes: np.ndarray
    """Index of each value among the texts, (rows, *)."""

    @classmethod
    def of(cls, texts: "Sequence[str] | np.ndarray | pa.Array", codes: np.ndarray) -> Self:
        """Return rows of text from texts, of which some may be equal, and each value's index among them."""
        pa = arrow()
        array: Any = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
        encoded = array.dictionary_encode()
        return cls(encoded.dictionary, encoded.indices.to_numpy()[codes])

    @classmethod
    def of_values(cls, values: np.ndarray) -> Self:
        """Return rows of text from an object array of `str` (rows, *)."""
        return cls.of(values.reshape(-1), np.arange(values.size).reshape(values.shape))

    @property
    def is_repetitive(self) -> bool:
        """True if rows are one text each, and each text is that of two rows or more on average."""
        return self.codes.ndim == 1 and 2 * len(self.words) <= len(self.codes)

    def __len__(self) -> int:
        return len(self.codes)

    def reshape(self, *shape: int) -> Self:
        """Return the texts with rows of another shape."""
        return replace(self, codes=self.codes.reshape(*shape))

    def text(self, row: int, index: int = 0) -> str:
        """Return the text at an index in a row."""
        return self.words[int(self.codes.reshape(len(self), -1)[row, index])].as_py()

    def place(self, word: int) -> tuple[int, tuple[int, int]]:
        """Return (row, position in the row) of the first value that has the distinct text of index `word`."""
        rows = self.codes.reshape(len(self), -1)
        row = int((rows == word).any(axis=1).argmax())
        return row, (int((rows[row] == word).argmax()), rows.shape[1])

    def counts(self) -> np.ndarray:
        """Return the number of values that have each distinct text."""
        return np.bincount(self.codes.reshape(-1), minlength=len(self.words))

    def times(self, distinct: Tensor | Tokens) -> np.ndarray:
        """Return how often each value of the distinct texts, or each of their tokens, occurs."""
        return np.repeat(self.counts(), distinct.lengths) if isinstance(distinct, Tokens) else self.counts()

    def expanded(self, distinct: Tensor | Tokens) -> Tensor | Tokens:
        """Return the values, or the tokens, of all rows, given those of the distinct texts."""
        if not isinstance(distinct, Tokens):
            return torch.from_numpy(distinct.numpy()[self.codes])
        tokens = distinct.take(self.codes.reshape(-1))
        return Tokens(tokens.values, tokens.lengths.reshape(len(self), -1).sum(1))

    def word_list(self) -> list[str]:
        """Return the distinct texts."""
        return self.words.to_pylist()

    def rows(self) -> np.ndarray:
        """Return the text of each value, as an object array (rows, *)."""
        return as_objects(self.word_list())[self.codes]
