"""Columns of text in memory, as Arrow arrays: distinct texts, and codes, the index of each row's text among them."""

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascli.data.storage.on_disk import ALL, Rows
from kerascli.foundation.cpus import cpu_limit

if TYPE_CHECKING:
    import pyarrow as pa

Coded = tuple["pa.Array[Any]", np.ndarray]
"""Distinct texts of a column in order of their first appearance, and each row's index among them, (rows,)."""


@cache
def arrow() -> ModuleType:
    """Return the module pyarrow, which takes half a second to import, with as many threads as this process may use."""
    import pyarrow.compute

    pyarrow.enable_signal_handlers(False)  # signals are ours, also while it reads
    pyarrow.set_cpu_count(cpu_limit().count)
    return pyarrow


class Column:
    """Column of text, or of numbers or booleans that were read from text; '' is a missing value."""

    def __init__(self, coded: Callable[[], Coded], values: Callable[[], np.ndarray | None]) -> None:
        """Create a column from functions, called on access: for its texts, as they are written in the file, and for the
        numbers or booleans that they denote (None: it is text)."""
        self._coded = coded
        self._values = values

    @classmethod
    def of(cls, texts: "pa.ChunkedArray[Any]", values: np.ndarray | None = None) -> "Column":
        """Return a column of texts, or of the numbers or booleans (`values`) that they denote; null is missing."""
        if values is not None:
            return cls(lambda: encode(texts), lambda: values)
        coded = encode(texts)
        return cls(lambda: coded, lambda: None)

    @cached_property
    def coded(self) -> Coded:
        """Distinct texts in order of their first appearance, and the index of each row's text among them."""
        return self._coded()

    @cached_property
    def values(self) -> np.ndarray | None:
        """Numbers or booleans that the texts denote; None if it is a column of text."""
        return self._values()

    def array(self, rows: Rows = ALL) -> np.ndarray:
        """Return the selected rows as numbers or booleans, or as an object array of `str`."""
        return self.texts(rows) if self.values is None else self.values[rows]

    def texts(self, rows: Rows = ALL) -> np.ndarray:
        """Return the texts of the selected rows as an object array; equal texts share one object."""
        words, codes = self.coded
        return words.to_numpy(zero_copy_only=False)[codes[rows]]


def text_array(texts: Sequence[str | None]) -> "pa.ChunkedArray[Any]":
    """Return texts as an Arrow array, with null for each missing one ('')."""
    pa = arrow()
    return pa.chunked_array([pa.array([text or None for text in texts], pa.string())])


def encode(texts: "pa.ChunkedArray[Any]") -> Coded:
    """Return the distinct texts of an Arrow array, and each row's index among them; null counts as ''."""
    encoded = texts.fill_null("").dictionary_encode().unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
    return encoded.chunk(0).dictionary.cast(arrow().large_string()), codes


def take(coded: Coded, rows: Rows) -> Coded:
    """Return the codes of the selected rows, with only their own distinct texts, in order of first appearance."""
    words, codes = coded[0], coded[1][rows]
    first = np.full(len(words), len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of equal indices the last assignment stays
    order = np.argsort(first, kind="stable")[: int((first < len(codes)).sum())]
    place = np.empty(len(words), np.int32)
    place[order] = np.arange(len(order))
    return words.take(arrow().array(order)), place[codes]
