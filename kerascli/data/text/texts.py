"""Text of a pipeline's columns: the distinct texts, and the index of each value among them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from kerascli.data.storage.column import arrow
from kerascli.data.storage.tokens import Tokens, as_objects

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Texts:
    """Rows of text: texts in the order of their first appearance, each once, and each row's indices among them."""

    words: "pa.Array"
    """Distinct texts as read, a pyarrow array of strings in which '' is a missing value; once rewritten, some may be
    equal."""
    codes: np.ndarray
    """Index of each value among the texts, (rows, *)."""

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Return rows of text from an object array of `str` (rows, *)."""
        pa = arrow()
        encoded = pa.array(values.reshape(-1), pa.large_string()).dictionary_encode()
        return cls(encoded.dictionary, encoded.indices.to_numpy().reshape(values.shape))

    @classmethod
    def of_distinct(cls, words: Sequence[str], codes: np.ndarray) -> Self:
        """Return rows of text from the distinct texts, and the index of each row's text among them."""
        pa = arrow()
        return cls(pa.array(words, pa.large_string()), codes)

    def __len__(self) -> int:
        return len(self.codes)

    def having(self, words: "pa.Array") -> Self:
        """Return the rows with other texts in place of the distinct ones."""
        return replace(self, words=words)

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

    def tokens(self, distinct: Tokens) -> Tokens:
        """Return the tokens of each row, given those of each distinct text."""
        tokens = distinct.take(self.codes.reshape(-1))
        return Tokens(tokens.values, tokens.lengths.reshape(len(self), -1).sum(1))

    def word_list(self) -> list[str]:
        """Return the distinct texts."""
        return self.words.to_pylist()

    def rows(self) -> np.ndarray:
        """Return the text of each value, as an object array (rows, *)."""
        return as_objects(self.word_list())[self.codes]
