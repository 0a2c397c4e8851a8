"""Iterate over columns in blocks, and compute statistics without holding all rows in memory."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from kerascli.data.storage.on_disk import Values, blocks, recut
from kerascli.data.storage.tokens import as_objects, numbered

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

    @classmethod
    def of(cls, *arrays: Any) -> "Blocks":
        """Return the given arrays as a sequence of blocks of rows."""
        return cls(lambda: iter(arrays))

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
    """Return the distinct values of all blocks of a column in ascending order with their counts, as `numpy.unique`."""
    waiting = iter(blocks)
    values, counts = _counts(next(waiting))
    merged: Counter[Any] = Counter()
    for block in waiting:
        if not merged:
            merged.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        new, how_often = _counts(block)
        merged.update(dict(zip(new.tolist(), how_often.tolist(), strict=True)))
    if not merged:
        return values, counts
    keys = sorted(merged)
    return _array(keys, values.dtype), np.array([merged[key] for key in keys], np.int64)


def _counts(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if block.dtype != object:
        return np.unique(block, return_counts=True)
    values, inverse = inverse_of(block)
    return values, np.bincount(inverse, minlength=len(values))


def inverse_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an array's distinct values in ascending order, and the index of each value (N,) among them; equal texts
    are found by a hash table.

    As `numpy.unique`, which compares each text with some twenty others.
    """
    if values.dtype != object:
        return np.unique(values, return_inverse=True)
    words, codes = numbered(values.tolist())
    order = np.argsort(as_objects(words))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return as_objects(words)[order], place[codes]


def distinct(values: Values, limit: int) -> set[Any] | None:
    """Return the set of distinct values of a column, or None if there are more than `limit`."""
    distinct_values: set[Any] = set()
    for block in blocks(values):
        distinct_values.update(block.ravel().tolist() if block.dtype == object else np.unique(block).tolist())
        if len(distinct_values) > limit:
            return None
    return distinct_values


def unique_inverse(values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Return a column's distinct values in ascending order, and the index of each row's value among them."""
    if isinstance(values, np.ndarray):
        return inverse_of(values)
    codes: dict[Any, int] = {}
    numbers = []
    for block in blocks(values):
        distinct_values, inverse = inverse_of(block)
        here = [codes.setdefault(value, len(codes)) for value in distinct_values.tolist()]
        numbers.append(np.array(here, np.int64)[inverse])
    keys = sorted(codes)
    place = np.empty(len(keys), np.int64)
    place[[codes[key] for key in keys]] = np.arange(len(keys))
    return _array(keys, values.dtype), place[np.concatenate(numbers)]


def rows_by_value(values: Values) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a column's distinct values in ascending order, and the indices of the rows that have each, ascending."""
    names, numbers = unique_inverse(values)
    return names, np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])


def extremes(values: Values) -> tuple[int, int]:
    """Return minimum and maximum of a nonempty column of integers."""
    bounds = [(block.min(), block.max()) for block in blocks(values)]
    return int(min(low for low, _ in bounds)), int(max(high for _, high in bounds))


def _array(keys: list[Any], dtype: np.dtype) -> np.ndarray:
    out = np.empty(len(keys), dtype)
    out[:] = keys
    return out


def label_range(values: Values) -> tuple[int, int] | None:
    """Return (smallest label, number of classes) of a column of integer class labels, none negative; else None."""
    if values.dtype.kind not in "iu" or values.size != len(values) or not len(values):
        return None
    least, greatest = extremes(values)
    return (least, greatest + 1) if least >= 0 else None


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
    return _unsorted(prefixes)


_SIGN = np.uint64(2**63)


def _sortable(values: np.ndarray) -> np.ndarray:
    """Map float64 values to uint64 keys that sort in the same order."""
    bits = values.astype(np.float64).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _unsorted(keys: np.ndarray) -> np.ndarray:
    return np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float64)
