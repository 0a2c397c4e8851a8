"""Advice check of training rows that are also in the split `validation` or `test`, which makes metrics too good.

Rows are compared by hash keys; of long rows only a part is hashed at first, to bound the cost.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kerascli.data.storage.table import Table
from kerascli.foundation.errors import Fault, Path
from kerascli.workflow.advice.case import Case, Raw, warning

_MOST_ROWS = 100_000
_MOST_BYTES = 64 * 2**20
"""Maximum number of bytes of text in a split for which rows are hashed, since strings are hashed completely."""

_LEAST_SHARE = 0.01
_PICTURE = 64
"""Minimum number of values per row of an array that is taken for images, which do not repeat by chance."""

_HINT = "remove duplicates before the rows are split: metrics on rows that were trained on are too optimistic"

_WORDS = 16
"""Number of 8-byte words of a row that are hashed first; rows that agree in these words are hashed completely."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_OTHER = np.uint64(0xBF58476D1CE4E5B9)

Columns = Sequence[Raw]


def repeated_rows(case: Case) -> Iterator[Fault]:
    """Yield a warning for each split that shares more rows with the split `train` than expected by chance."""
    names = sorted({column for _, pipeline in (*case.inputs(), *case.targets()) for column in pipeline.columns})
    parts = {split: _sample(table, names) for split, table in case.tables.items() if not table.on_disk(names)}
    train = parts.get("train")
    if train is None or len(parts) < 2:
        return
    keys = row_keys({split: columns for split, columns in parts.items() if _are_alike(columns, train)})
    distinct, counts = np.unique(keys["train"], return_counts=True)
    for split, own in keys.items():
        place = np.searchsorted(distinct, own).clip(max=len(distinct) - 1)
        shared = int((distinct[place] == own).sum())
        if split == "train" or shared < max(2, _LEAST_SHARE * len(own)):
            continue
        if shared > _expected_by_chance(counts, len(own)) or _rows_hardly_repeat(train, keys["train"], len(distinct)):
            whole = all(len(keys[name]) == case.tables[name].rows for name in ("train", split))
            yield warning(_text(split, shared, len(own), whole=whole), _path(case, split), _HINT)


def _expected_by_chance(counts: np.ndarray, rows: int) -> float:
    """Return an upper bound on the rows of a split that equal training rows by chance.

    The probability that a new row is in `train` is estimated from how many training rows occur once (Good, 1953).
    """
    expected = rows * (1 - (counts == 1).sum() / counts.sum())
    return expected + 4 * math.sqrt(expected)


def _rows_hardly_repeat(train: Sequence[Raw], keys: np.ndarray, distinct: int) -> bool:
    """Return True if rows are rarely equal by chance, since they contain measurements or images."""
    if distinct * 5 < len(keys):
        return False
    _, first = np.unique(keys, return_index=True)
    return any(_distinguishes_rows(column.take(first)) for column in train)


def _distinguishes_rows(column: Raw) -> bool:
    """Return True if a column contains images, or measurements that are mostly distinct."""
    if column.ndim == 1 and column.whole.dtype.kind == "f":
        values = column.array()
        return _has_fractions(values) and len(np.unique(values)) * 2 > len(values)
    some = column.take(slice(0, 100)).array()
    return column.width >= _PICTURE and (some.dtype == np.uint8 or _has_fractions(some))


def _has_fractions(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool((values[np.isfinite(values)] % 1 != 0).any())


def _sample(table: Table, names: Sequence[str]) -> list[Raw]:
    """Return the named columns of a split's table as a list; of a large table, only evenly spaced rows."""
    raw = [column for name in names if (column := Raw.of(table, name)) is not None]
    most = min(_MOST_ROWS, _MOST_BYTES // max(1, sum(_text_bytes(column) for column in raw)))
    if table.rows <= most:
        return raw
    places = np.linspace(0, table.rows - 1, max(1, most)).astype(np.int64)
    return [column.take(places) for column in raw]


def _text_bytes(column: Raw) -> int:
    """Return the estimated number of bytes per row to hash of a column of strings or sequences; 0 for numbers."""
    if column.whole.dtype != object:
        return 0
    some = column.take(np.linspace(0, len(column) - 1, 100).astype(np.int64)).array().reshape(-1)
    lengths = [value.nbytes if column.is_ragged else len(value) for value in some]
    return sum(lengths) // 100 + 1


def _are_alike(columns: Sequence[Raw], train: Sequence[Raw]) -> bool:
    """Return True if the columns of a split have the shapes and types of the columns of `train`, so that rows can be
    equal."""
    pairs = [(a.whole, b.whole) for a, b in zip(columns, train, strict=True)]
    return all(
        a.shape[1:] == b.shape[1:] and (a.dtype == b.dtype or (a.ndim == 1 and object not in (a.dtype, b.dtype)))
        for a, b in pairs
    )


def _text(split: str, shared: int, rows: int, *, whole: bool) -> str:
    all_rows = f"{shared:,} of the {rows:,} rows of '{split}'"
    checked = f"at least {shared:,} of {rows:,} rows of '{split}' that were checked"
    return f"{all_rows if whole else checked} are also in 'train', with the same inputs and targets"


def _path(case: Case, split: str) -> Path:
    if split == "validation" and case.config.validation_split > 0:
        return ("fit", "validation_split")
    cut = case.data is not None and case.data.split is not None and split in case.data.split.part_keys()
    return ("data", "split") if cut else ("data", "source")


def row_keys(splits: Mapping[str, Columns]) -> dict[str, np.ndarray]:
    """Return the hash keys (rows,) of each split's rows, as uint64; equal rows have equal keys, in any split.

    `splits` maps the name of a split to its columns.
    """
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
