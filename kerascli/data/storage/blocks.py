"""Iterate over columns in blocks, and compute statistics without holding all rows in memory."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from kerascli.data.storage.column import Texts, pa
from kerascli.data.storage.on_disk import MEMORY_BYTES, Values, blocks, in_memory, recut

PART_VALUES = 2**20
"""Number of values in a piece of rows of which a statistic is computed at once."""


class Blocks(Iterable[Any]):
    """Rows of a column as a sequence of blocks in order, arrays (rows, *) or rows of text, that can be iterated
    repeatedly."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        """Create a sequence of the blocks that `make()` yields."""
        self._make = make
        self.first = 0
        """Index, in the column, of the first row of the block that was yielded last."""

    def __iter__(self) -> Iterator[Any]:
        self.first = 0
        for block in self._make():
            yield block
            self.first += len(block)

    def parts(self, values: int = PART_VALUES) -> Iterator[np.ndarray]:
        """Yield the rows in pieces of about `values` values, cut at the same rows whatever the blocks' sizes are.

        So sums by piece are bitwise equal for data on disk and in memory.
        """
        self.first = 0
        row = next(iter(self._make()))[:1]
        for part in recut(self._make(), max(1, values // max(1, row.size))):
            yield part
            self.first += len(part)


def unique_counts(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct numbers in all blocks of a column in ascending order with their counts, as `numpy.unique`."""
    values, counts = zip(*(np.unique(block, return_counts=True) for block in blocks), strict=True)
    distinct, places = np.unique(np.concatenate(values), return_inverse=True)
    return distinct, np.bincount(places, np.concatenate(counts)).astype(np.int64)


def unique_inverse(values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Return a column's distinct values in ascending order, and the index of each row's value among them."""
    if values.dtype != object:
        return np.unique(in_memory(values), return_inverse=True)
    texts = Texts.of_column(pa.chunked_array([pa.array(block, pa.string()) for block in blocks(values)]))
    ordered, places = np.unique(texts.words.to_numpy(zero_copy_only=False), return_inverse=True)
    return ordered, places[texts.codes]


def rows_by_value(values: Values) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a column's distinct values in ascending order, and the indices of the rows that have each, ascending."""
    names, numbers = unique_inverse(values)
    return names, np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])


def medians(blocks: Iterable[np.ndarray]) -> list[float]:
    """Compute the median of each feature over blocks (N, F), which are iterated once for each `MEMORY_BYTES` of values.

    nan values are ignored; a feature without any other value has the median nan.
    """
    shapes = [block.shape for block in blocks]
    together = max(1, MEMORY_BYTES // (8 * sum(rows for rows, _ in shapes)))
    found: list[float] = []
    for first in range(0, shapes[0][1], together):
        columns = np.concatenate([block[:, first : first + together] for block in blocks]).T
        present = (column[~np.isnan(column)] for column in columns)
        found += [float(np.median(values)) if len(values) else math.nan for values in present]
    return found
