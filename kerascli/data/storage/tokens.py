"""Sequences of varying length as flat arrays, and counts of tokens.

A column of sequences is an object array of integer arrays; its field's dtype is "sequence".
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from kerascli.data.storage.on_disk import Values

End = Literal["pre", "post"]
"""End of a row of tokens: before the first one, or after the last one."""


def is_ragged(values: Values) -> bool:
    """Return True if a column holds sequences of varying length."""
    return isinstance(values, np.ndarray) and values.dtype == object and isinstance(next(values.flat, None), np.ndarray)


def column_dtype(values: Values) -> str:
    """Return the dtype of a column as in `Field.dtype`: "string", "sequence" or the name of a number type."""
    if values.dtype != object:
        return values.dtype.name
    return "sequence" if is_ragged(values) else "string"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of the rows of a column, concatenated, with the length of each row."""

    values: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, rows: "np.ndarray | Tokens") -> Self:
        """Return the tokens of rows (N, *), or of a column of sequences, concatenated, with the length of each row."""
        if isinstance(rows, Tokens):
            return cls(rows.values, rows.lengths)
        if is_ragged(rows):
            return cls(np.concatenate(list(rows)), np.fromiter(map(len, rows), np.int64, len(rows)))
        width = rows.size // max(1, len(rows))
        return cls(rows.reshape(-1), np.full(len(rows), width))

    def __len__(self) -> int:
        return len(self.lengths)

    def sequences(self) -> np.ndarray:
        """Return the tokens as a column of sequences, one for each row, which are views of the concatenated tokens."""
        out = np.empty(len(self.lengths), object)
        ends = np.cumsum(self.lengths)
        for row, (start, end) in enumerate(zip(ends - self.lengths, ends, strict=True)):
            out[row] = self.values[start:end]
        return out

    def take(self, rows: np.ndarray) -> Self:
        """Return the tokens of the selected rows, in the selection's order."""
        starts = (np.cumsum(self.lengths) - self.lengths)[rows]
        lengths = self.lengths[rows]
        firsts = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(starts - firsts, lengths)
        return type(self)(self.values[places], lengths)

    def keep(self, mask: np.ndarray) -> Self:
        """Return all rows, each with only those of its tokens that a boolean mask selects."""
        lengths = np.bincount(self.owners()[mask], minlength=len(self.lengths))
        return type(self)(self.values[mask], lengths)

    def longest(self) -> int:
        """Return the number of tokens of the longest row."""
        return int(self.lengths.max(initial=0))

    def owners(self) -> np.ndarray:
        """Return the index of the row that each token belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def places(self) -> np.ndarray:
        """Return the index of each token in its row."""
        return np.arange(len(self.values)) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)

    def truncated(self, width: int, end: End = "post") -> Self:
        """Return rows of at most `width` tokens: longer ones lose tokens at their beginning (pre) or end."""
        first = np.maximum(self.lengths - width, 0)[self.owners()] if end == "pre" else 0
        places = self.places() - first
        return self.keep((places >= 0) & (places < width))

    def padded(self, width: int, value: float = 0, end: End = "post") -> np.ndarray:
        """Return rows of at most `width` tokens as an array (N, width); a value fills it before them (pre) or after."""
        owners, out = self.owners(), np.full((len(self), width), value, self.values.dtype)
        out[owners, self.places() + ((width - self.lengths)[owners] if end == "pre" else 0)] = self.values
        return out


Counted = tuple[Sequence[Any], Tokens, np.ndarray | None]
"""Distinct tokens of a part of a column, its rows as indices among them, and how often each row occurs (None: once)."""


@dataclass(slots=True)
class TokenCounts:
    """Token counts over rows: occurrences, and document frequencies (the number of rows with a token)."""

    occurrences: Counter[Any] = field(default_factory=Counter)
    documents: Counter[Any] = field(default_factory=Counter)
    rows: int = 0

    @classmethod
    def of(cls, parts: Iterable[Counted], *, documents: bool) -> Self:
        """Count the tokens in `parts` of a column, and with `documents` their document frequencies."""
        counts = cls()
        for distinct, codes, times in parts:
            counts.rows += len(codes) if times is None else int(times.sum())
            of_tokens = None if times is None else np.repeat(times, codes.lengths)
            _count(counts.occurrences, distinct, codes.values, of_tokens)
            if documents:
                size = max(1, len(distinct))
                owners, once = np.divmod(np.unique(codes.owners() * size + codes.values), size)
                _count(counts.documents, distinct, once, None if times is None else times[owners])
        return counts

    def by_frequency(self) -> list[Any]:
        """Return the tokens by descending frequency, ties in descending order of the tokens, as in Keras."""
        return sorted(sorted(self.occurrences, reverse=True), key=self.occurrences.__getitem__, reverse=True)

    def idf(self, vocabulary: Iterable[Any]) -> np.ndarray:
        """Return the tokens' inverse document frequencies, `log(1 + rows / (1 + document frequency))`, float32."""
        documents = np.array([self.documents[value] for value in vocabulary], np.float64)
        return np.log(1 + self.rows / (1 + documents)).astype(np.float32)


def _count(counter: Counter[Any], values: Sequence[Any], codes: np.ndarray, times: np.ndarray | None) -> None:
    counts = np.bincount(codes, times, minlength=len(values)).astype(np.int64).tolist()
    counter.update({value: count for value, count in zip(values, counts, strict=True) if count})
