"""Iterate over columns in blocks, and compute statistics without holding all rows in memory."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from kerascli.data.storage.column import Texts, pa
from kerascli.data.storage.on_disk import Values, blocks, in_memory, recut

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

    def alone(self) -> np.ndarray | None:
        """Return all rows of the column, if they are a single block in memory; None if there are several blocks."""
        first = list(islice(self, 2))
        return first[0] if len(first) == 1 else None


def unique_counts(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct numbers in all blocks of a column in ascending order with their counts, as `numpy.unique`."""
    rest = iter(blocks)
    values, counts = np.unique(next(rest), return_counts=True)
    for block in rest:
        new, how_often = np.unique(block, return_counts=True)
        values, places = np.unique(np.concatenate([values, new]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([counts, how_often])).astype(np.int64)
    return values, counts


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


_DIGIT = 11
"""Bits of a median found per pass over the data: fewer need more passes, more need more memory (32 KiB a feature)."""
_SHIFTS = range(55, -1, -_DIGIT)


def medians(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Compute the median (F,) of each feature over blocks (N, F), which are iterated several times.

    nan values are ignored; a feature without any other value has the median nan.
    """
    present, dtype = 0, np.dtype(np.float64)
    for block in blocks:
        present = present + (~np.isnan(block)).sum(0)
        dtype = block.dtype if block.dtype.kind == "f" else dtype
    ranks = np.array([(np.maximum(present, 1) - 1) // 2, present // 2])
    middle = np.mean(_select(blocks, ranks).astype(dtype), axis=0)  # in the dtype of the values, as numpy.median
    return np.where(present, middle, np.nan)


def _select(blocks: Iterable[np.ndarray], ranks: np.ndarray) -> np.ndarray:
    """Select each feature's values with the given ranks (K, F) by radix selection.

    The values' keys have the same order as unsigned integers. Each pass counts the next digits of the keys that share
    the digits determined so far.
    """
    left = ranks.copy()
    prefixes = np.zeros(ranks.shape, np.uint64)
    for shift in _SHIFTS:
        counts = np.zeros((*ranks.shape, 2**_DIGIT), np.int64)
        for block in blocks:
            keys = _sortable(block) >> np.uint64(shift)
            begins, digits = keys >> np.uint64(_DIGIT), (keys & np.uint64(2**_DIGIT - 1)).astype(np.int64)
            for number, prefix in enumerate(prefixes):
                rows, columns = np.nonzero((begins == prefix) & ~np.isnan(block))
                histogram = np.bincount(columns * 2**_DIGIT + digits[rows, columns], minlength=counts[number].size)
                counts[number] += histogram.reshape(counts[number].shape)
        upto = counts.cumsum(-1)
        digit = (upto <= left[..., None]).sum(-1).clip(max=2**_DIGIT - 1)
        left -= np.take_along_axis(upto - counts, digit[..., None], -1)[..., 0]
        prefixes = prefixes << np.uint64(_DIGIT) | digit.astype(np.uint64)
    return np.where(prefixes & _SIGN, prefixes ^ _SIGN, ~prefixes).view(np.float64)  # inverse of `_sortable`


_SIGN = np.uint64(2**63)


def _sortable(values: np.ndarray) -> np.ndarray:
    """Map float64 values to uint64 keys that sort in the same order."""
    bits = values.astype(np.float64).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)
