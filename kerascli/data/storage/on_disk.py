"""Columns that stay on disk: rows come into memory when they are asked for, and no others."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Self

import numpy as np

from kerascli.files import available_memory

Rows = slice | np.ndarray
"""Some rows: a slice (without a step) or their numbers."""

MEMORY_BYTES = 2**30
"""What the columns of a file may take to be read into memory: rows are picked there at once, without threads."""

BLOCK_BYTES = 4 * 2**20
"""How much is taken into memory at once where rows are gone through in order."""


def is_large(nbytes: int) -> bool:
    """Whether columns that would take so much in all stay on disk."""
    return nbytes > min(MEMORY_BYTES, available_memory() // 4)


class OnDisk(ABC):
    """A column of numbers or text (dtype object) of which only what is asked for is in memory."""

    def __init__(self, rows: int, row_shape: tuple[int, ...], dtype: np.dtype, row_bytes: int) -> None:
        """`row_bytes` is about what a row takes in memory."""
        self.row_shape = row_shape
        self.dtype = dtype
        self.row_bytes = row_bytes
        self._rows: Rows = slice(0, rows)

    def __len__(self) -> int:
        return count(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.row_shape)

    @property
    def ndim(self) -> int:
        return 1 + len(self.row_shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def take(self, rows: Rows) -> Self:
        """Some of the rows, still on disk."""
        other = copy.copy(self)
        other._rows = chosen(self._rows, rows)
        return other

    @abstractmethod
    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """All rows in order, `rows` of them at a time."""


class Direct(OnDisk):
    """A column of which any rows can be had at once."""

    @abstractmethod
    def __getitem__(self, rows: Rows) -> np.ndarray:
        """The rows, in memory."""

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        return (self[slice(start, min(start + rows, len(self)))] for start in range(0, len(self), rows))


class Stream(OnDisk):
    """A column that can only be read from its beginning on. Rows that are taken from it are in order."""

    @abstractmethod
    def stream(self, rows: int) -> Iterator[np.ndarray]:
        """All rows of the file in order, `rows` or fewer of them at a time."""

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        return recut(self._chosen(rows), rows)

    def _chosen(self, rows: int) -> Iterator[np.ndarray]:
        first, left = 0, len(self)
        for block in self.stream(rows):
            found = block[_within(self._rows, first, len(block))]
            first += len(block)
            left -= len(found)
            yield found
            if not left:
                return


Values = np.ndarray | OnDisk
"""A column, wherever its rows are."""


def count(rows: Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def chosen(rows: Rows, part: Rows) -> Rows:
    """Those of `rows` that `part` names by their place among them."""
    if isinstance(part, slice):
        start, stop, _ = part.indices(count(rows))
        part = slice(start, max(start, stop))
        return rows[part] if isinstance(rows, np.ndarray) else slice(rows.start + part.start, rows.start + part.stop)
    return rows[part] if isinstance(rows, np.ndarray) else part + rows.start


def pieces(values: Values, rows: int) -> Iterator[np.ndarray]:
    """A column in blocks of so many rows."""
    if isinstance(values, OnDisk):
        return values.blocks(rows)
    return (values[start : start + rows] for start in range(0, len(values), rows))


def rows_a_block(values: Values) -> int:
    """How many rows of a column are taken into memory at once."""
    row_bytes = values.row_bytes if isinstance(values, OnDisk) else values.nbytes // max(1, len(values))
    return max(1, BLOCK_BYTES // max(1, row_bytes))


def blocks(values: Values) -> Iterator[np.ndarray]:
    """A column in blocks: what is in memory is one."""
    return iter([values]) if isinstance(values, np.ndarray) else values.blocks(rows_a_block(values))


def _within(rows: Rows, first: int, length: int) -> Rows:
    """Which of the file's rows `first` to `first + length` are wanted, counted from `first`."""
    if isinstance(rows, slice):
        return slice(max(0, rows.start - first), max(0, rows.stop - first))
    low, high = np.searchsorted(rows, (first, first + length))
    return rows[low:high] - first


def recut(arrays: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The same rows, `rows` at a time: views, but for a piece that lies in several arrays."""
    begun: list[np.ndarray] = []
    have = 0
    for array in arrays:
        start = min(rows - have, len(array)) if have else 0
        if have:
            begun.append(array[:start])
            have += start
            if have < rows:
                continue
            yield np.concatenate(begun)
        end = len(array) - (len(array) - start) % rows
        yield from (array[first : first + rows] for first in range(start, end, rows))
        begun, have = [array[end:]], len(array) - end
    if have:
        yield np.concatenate(begun)
