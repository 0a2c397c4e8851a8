"""Columns that stay on disk and read only the requested rows into memory."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Self

import numpy as np

from kerascli.foundation.disk.files import available_memory

Rows = slice | np.ndarray
"""Selection of rows: a slice without a step, or row indices."""

MEMORY_BYTES = 2**30
"""Maximum size in bytes of a file's columns that are read into memory; batches are then taken without threads."""

BLOCK_BYTES = 4 * 2**20
"""Number of bytes read into memory at once when the rows of a column are iterated in order."""


def is_large(nbytes: int) -> bool:
    """Return True if a file's columns, of `nbytes` in all, are too large to be read into memory and stay on disk."""
    return nbytes > min(MEMORY_BYTES, available_memory() // 4)


class OnDisk:
    """Base class of columns of numbers or text (dtype object) on disk; only requested rows are in memory."""

    def __init__(self, rows: int, row_shape: tuple[int, ...], dtype: np.dtype, row_bytes: int) -> None:
        """Initialize a column of `rows` rows; `row_bytes` is the approximate size of a row in memory."""
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

    def take(self, rows: Rows) -> Self:
        """Return the column with the selected rows only, still on disk."""
        other = copy.copy(self)
        other._rows = compose_rows(self._rows, rows)
        return other


class Direct(OnDisk, ABC):
    """Column on disk from which any rows can be read (random access)."""

    def __getitem__(self, rows: Rows) -> np.ndarray:
        """Read the selected rows into memory."""
        return self._read(compose_rows(self._rows, rows))

    @abstractmethod
    def _read(self, rows: Rows) -> np.ndarray:
        """Read rows of the whole file into memory."""


class Stream(OnDisk):
    """Column on disk that can only be read sequentially; rows selected from it must be in ascending order."""

    def __init__(self, rows: int, row_shape: tuple[int, ...], dtype: np.dtype, row_bytes: int, read: "Read") -> None:
        """Initialize a column whose rows `read` yields in the order of the file, at most so many at a time."""
        super().__init__(rows, row_shape, dtype, row_bytes)
        self._read = read

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Iterate over all rows of the column in order, in blocks of `rows` rows."""
        return recut(self._chosen(rows), rows)

    def _chosen(self, rows: int) -> Iterator[np.ndarray]:
        first, left = 0, len(self)
        for block in self._read(rows):
            chosen = block[_within(self._rows, first, len(block))]
            first += len(block)
            left -= len(chosen)
            yield chosen
            if not left:
                return


Read = Callable[[int], Iterator[np.ndarray]]
"""Function that yields all rows of a file in order, at most as many at a time as it is called with."""
Values = np.ndarray | Direct | Stream
"""Values of a column, in memory or on disk."""


def count(rows: slice | Sized) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def compose_rows(rows: Rows, part: Rows) -> Rows:
    """Compose two selections of rows: select the positions `part` from the selection `rows`."""
    if isinstance(part, slice):
        start, stop, _ = part.indices(count(rows))
        part = slice(start, max(start, stop))
        return rows[part] if isinstance(rows, np.ndarray) else slice(rows.start + part.start, rows.start + part.stop)
    if isinstance(rows, np.ndarray):
        return rows[part]
    return part + rows.start if rows.start else part  # the columns of a table then share one array of rows


def pieces(values: Values, rows: int) -> Iterator[np.ndarray]:
    """Iterate over a column, in memory or on disk, in blocks of `rows` rows."""
    if isinstance(values, np.ndarray | Direct):
        return (values[slice(start, start + rows)] for start in range(0, len(values), rows))
    return values.blocks(rows)


def rows_a_block(values: Values) -> int:
    """Return how many rows of a column to read into memory at once: about `BLOCK_BYTES`, at least one row."""
    row_bytes = values.row_bytes if isinstance(values, OnDisk) else values.nbytes // max(1, len(values))
    return max(1, BLOCK_BYTES // max(1, row_bytes))


def joint_pieces(columns: Mapping[str, Values], rows: int | None) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over columns in blocks of the same rows, of about `BLOCK_BYTES` in all; at most `rows` rows each."""
    fitting = min(map(rows_a_block, columns.values())) // len(columns)
    rows = max(1, min(fitting, rows or fitting))
    parts = zip(*(pieces(values, rows) for values in columns.values()), strict=True)
    return (dict(zip(columns, part, strict=True)) for part in parts)


def blocks(values: Values) -> Iterator[np.ndarray]:
    """Iterate over a column in blocks; a column in memory is a single block."""
    return iter([values]) if isinstance(values, np.ndarray) else pieces(values, rows_a_block(values))


def in_memory(values: Values) -> np.ndarray:
    """Return all values of a column as an array in memory."""
    return values if isinstance(values, np.ndarray) else np.concatenate(list(blocks(values)))


def _within(rows: Rows, first: int, length: int) -> Rows:
    """Return the selected rows that lie in one block of a file, relative to the block's first row.

    The block is the file's rows `first` to `first + length`.
    """
    if isinstance(rows, slice):
        return slice(max(0, rows.start - first), max(0, rows.stop - first))
    low, high = np.searchsorted(rows, (first, first + length))
    return rows[low:high] - first


def recut(arrays: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """Regroup consecutive arrays into pieces of `rows` rows; a piece is a view unless it spans several arrays."""
    rest = np.empty(0)
    for array in arrays:
        if missing := -len(rest) % rows:
            rest, array = np.concatenate([rest, array[:missing]]), array[missing:]
            if len(rest) < rows:
                continue
            yield rest
        end = len(array) - len(array) % rows
        yield from (array[first : first + rows] for first in range(0, end, rows))
        rest = array[end:]
    if len(rest):
        yield rest
