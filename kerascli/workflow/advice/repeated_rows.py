"""Advice check of training rows that are also in the split `validation` or `test`, which makes metrics too good."""

import math
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from kerascli.data.storage.on_disk import BLOCK_BYTES
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import Fault, Path
from kerascli.workflow.advice.case import Case, warning

_MOST_ROWS = 100_000
_LEAST_SHARE = 0.01
_PICTURE = 64
"""Least number of values in a row of an array that is taken for a picture."""

_HINT = "remove duplicates before the rows are split: metrics on rows that were trained on are too optimistic"


def repeated_rows(case: Case) -> Iterator[Fault]:
    """Yield a warning for each split that shares more rows with the split `train` than expected by chance."""
    names = sorted({column for _, pipeline in (*case.inputs(), *case.targets()) for column in pipeline.columns})
    tables = {split: table for split, table in case.tables.items() if not table.on_disk(names)}
    if "train" not in tables or len(tables) < 2:
        return
    samples = {split: _sample(table) for split, table in tables.items()}
    keys = {split: _keys(sample, names) for split, sample in samples.items()}
    distinct, first, counts = np.unique(keys["train"], return_index=True, return_counts=True)
    for split, own in keys.items():
        shared = int(np.isin(own, distinct).sum())
        if split == "train" or shared < max(2, _LEAST_SHARE * len(own)):
            continue
        if shared > _expected_by_chance(counts, len(own)) or _are_measured(samples["train"].take(first), names):
            whole = all(len(keys[name]) == tables[name].rows for name in ("train", split))
            yield warning(_text(split, shared, len(own), whole=whole), _path(case, split), _HINT)


def _sample(table: Table) -> Table:
    """Return the rows of a split, or evenly spaced ones of a large split."""
    return table.take(np.linspace(0, table.rows - 1, min(table.rows, _MOST_ROWS)).astype(np.int64))


def _keys(table: Table, names: Sequence[str]) -> np.ndarray:
    """Return the hashes of the rows of a table."""
    keys, likes = list[int](), map(table.like, names)
    row_bytes = sum(math.prod(like.shape[1:]) * like.dtype.itemsize for like in likes)
    for part in table.slices(max(1, BLOCK_BYTES // max(1, row_bytes))):
        columns = [part.array(name) for name in names]
        others = (column for column in columns if column.dtype == object)
        texts = [map(_hashable, each) if isinstance(each[0], np.ndarray) else each for each in others]
        keys += map(hash, zip(_number_bytes(columns, part.rows), *texts, strict=True))
    return np.array(keys, np.int64)


def _number_bytes(columns: Sequence[np.ndarray], rows: int) -> list[bytes]:
    """Return the bytes of each row of the columns of numbers.

    Columns of one number per row are floats, as another file may have the same numbers as integers.
    """
    floats = [
        np.add(column, 0.0, dtype=np.float64) if column.ndim == 1 else column
        for column in columns
        if column.dtype != object
    ]
    numbers = [np.ascontiguousarray(column).reshape(rows, -1) for column in floats]
    parts = [np.empty((rows, 0), np.uint8), *(column.view(np.uint8) for column in numbers)]
    return [row.tobytes() for row in np.concatenate(parts, axis=1)]


def _hashable(row: np.ndarray) -> Hashable:
    """Return a row of texts, or a sequence of varying length, as an object that has a hash."""
    return tuple(row.flat) if row.dtype == object else row.tobytes()


def _are_measured(rows: Table, names: Sequence[str]) -> bool:
    """Return True if rows of a table, of which no two are equal, have pictures, or measurements that are mostly
    distinct: such rows are equal if they were copied, not by chance."""
    for name in names:
        width = math.prod(rows.like(name).shape[1:])
        values = rows.take(slice(0, 100 if width >= _PICTURE else rows.rows)).array(name)
        is_measured = values.dtype.kind == "f" and bool((values[np.isfinite(values)] % 1 != 0).any())
        if width >= _PICTURE and (is_measured or values.dtype == np.uint8):
            return True
        if width == 1 and is_measured and len(np.unique(values)) * 2 > len(values):
            return True
    return False


def _expected_by_chance(counts: np.ndarray, rows: int) -> float:
    """Return an upper bound on the rows of a split that equal training rows by chance.

    The probability that a new row is in `train` is estimated from how many training rows occur once (Good, 1953).
    """
    expected = rows * (1 - (counts == 1).sum() / counts.sum())
    return expected + 4 * math.sqrt(expected)


def _text(split: str, shared: int, rows: int, *, whole: bool) -> str:
    all_rows = f"{shared:,} of the {rows:,} rows of '{split}'"
    checked = f"at least {shared:,} of {rows:,} rows of '{split}' that were checked"
    return f"{all_rows if whole else checked} are also in 'train', with the same inputs and targets"


def _path(case: Case, split: str) -> Path:
    if split == "validation" and case.config.validation_split > 0:
        return ("fit", "validation_split")
    cut = case.data is not None and case.data.split is not None and split in case.data.split.part_keys()
    return ("data", "split") if cut else ("data", "source")
