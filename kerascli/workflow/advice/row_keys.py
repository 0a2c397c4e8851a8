"""Hash keys of a table's rows, equal for equal rows; of long rows only a part is hashed at first, to bound the cost."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kerascli.workflow.advice.raw import Raw

_WORDS = 16
"""Number of 8-byte words of a row that are hashed first; rows that agree in these words are hashed completely."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_OTHER = np.uint64(0xBF58476D1CE4E5B9)

Columns = Sequence[Raw]


def keys(splits: Mapping[str, Columns]) -> dict[str, np.ndarray]:
    """Return a mapping from split to the hash keys (uint64) of its rows; equal rows have equal keys, in any split."""
    first = {name: _mixed(columns, _WORDS) for name, columns in splits.items()}
    _, inverse, counts = np.unique(np.concatenate(list(first.values())), return_inverse=True, return_counts=True)
    repeated, start = counts[inverse] > 1, 0
    for name, columns in splits.items():
        rows = np.flatnonzero(repeated[start : start + len(first[name])])
        start += len(first[name])
        if len(rows) and any(_words_of(column) > _WORDS for column in columns):
            first[name][rows] = _mixed([column.take(rows) for column in columns], None)
    return first


def _mixed(columns: Columns, most: int | None) -> np.ndarray:
    total = np.zeros(len(columns[0]), np.uint64)
    for number, column in enumerate(columns):
        for place, word in enumerate(_words(column, most)):
            salt = np.uint64((number * 1_000_003 + place * 7919 + 1) * 0x100000001B3 & (2**64 - 1))
            mixed = (word ^ salt) * _MULTIPLIER
            mixed ^= mixed >> np.uint64(32)
            mixed *= _OTHER
            total += mixed ^ (mixed >> np.uint64(29))
    return total


def _words(column: Raw, most: int | None) -> Iterator[np.ndarray]:
    """Yield arrays (rows,) of a column's 64-bit words: of a long row at most `most`, evenly spaced (None: all
    words)."""
    if column.whole.dtype == object:
        yield from _hashes(column)
    elif column.ndim == 1:
        values = column.array()  # a file with a missing value holds 1.0 where another holds 1
        exact = values.dtype.kind == "f" or _are_exact(values)
        yield ((values.astype(np.float64) + 0.0) if exact else values.astype(np.int64)).view(np.uint64)
    elif column.width:
        column = column if column.whole.flags.c_contiguous else Raw(column.array().copy("C"), slice(0, len(column)))
        flat = column.whole.reshape(len(column.whole), -1).view(np.uint8)
        size = next(size for size in (8, 4, 2, 1) if flat.shape[1] % size == 0)
        words = flat.view(f"u{size}")
        places = np.arange(words.shape[1])
        if most is not None and len(places) > most:
            places = np.unique(np.linspace(0, len(places) - 1, most + 2).astype(np.int64)[1:-1])
        yield from (words[:, place][column.rows].astype(np.uint64) for place in places)


def _hashes(column: Raw) -> Iterator[np.ndarray]:
    """Yield hashes of the values in a column of strings or sequences, as arrays of shape (rows,)."""
    flat = column.array().reshape(len(column), -1)
    get = (lambda value: hash(value.tobytes())) if column.is_ragged else hash
    for place in range(flat.shape[1]):
        yield np.fromiter(map(get, flat[:, place]), np.int64, len(flat)).view(np.uint64)


def _are_exact(values: np.ndarray) -> bool:
    """Return True if float64 represents all integers of an array exactly."""
    return not len(values) or (values.max() <= 2**53 and values.min() >= -(2**53))


def _words_of(column: Raw) -> int:
    return 1 if column.ndim == 1 else -(-column.width * column.whole.itemsize // 8)
