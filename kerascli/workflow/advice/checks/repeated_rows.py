"""Advice check: warns of training rows that are also in the split `validation` or `test`: metrics are too good."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from kerascli.data.storage.table import Table
from kerascli.foundation.errors import Fault, Path
from kerascli.workflow.advice.case import Case, warning
from kerascli.workflow.advice.raw import Raw
from kerascli.workflow.advice.row_keys import keys

_MOST_ROWS = 100_000
_MOST_BYTES = 64 * 2**20
"""Maximum number of bytes of text in a split for which rows are hashed, since strings are hashed completely."""

_LEAST_SHARE = 0.01
_PICTURE = 64
"""Minimum number of values per row of an array that is taken for images, which do not repeat by chance."""

_HINT = "remove duplicates before the rows are split: metrics on rows that were trained on are too optimistic"


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each split that shares more rows with the split `train` than expected by chance."""
    names = sorted({column for _, pipeline in (*case.inputs(), *case.targets()) for column in pipeline.columns})
    parts = {split: _sample(table, names) for split, table in case.tables.items() if not table.on_disk(names)}
    train = parts.get("train")
    if train is None or len(parts) < 2:
        return
    parts = {split: columns for split, columns in parts.items() if _are_alike(columns, train)}
    found = keys(parts)
    known, counts = np.unique(found["train"], return_counts=True)
    for split, theirs in found.items():
        if split == "train":
            continue
        place = np.searchsorted(known, theirs).clip(max=len(known) - 1)
        shared = int((known[place] == theirs).sum())
        if shared >= max(2, _LEAST_SHARE * len(theirs)) and (
            shared > _expected_by_chance(counts, len(theirs)) or _rows_hardly_repeat(train, found["train"], len(known))
        ):
            whole = all(len(found[name]) == case.tables[name].rows for name in ("train", split))
            yield warning(_text(split, shared, len(theirs), whole=whole), _path(case, split), _HINT)


def _expected_by_chance(counts: np.ndarray, rows: int) -> float:
    """Return an upper bound on the rows of a split that equal training rows by chance.

    The probability that a new row is in `train` is estimated from how many training rows occur once (Good, 1953).
    """
    expected = rows * (1 - (counts == 1).sum() / counts.sum())
    return expected + 4 * math.sqrt(expected)


def _rows_hardly_repeat(train: Sequence[Raw], found: np.ndarray, distinct: int) -> bool:
    """Return True if rows are rarely equal by chance, since they contain measurements or images."""
    if distinct * 5 < len(found):
        return False
    _, first = np.unique(found, return_index=True)
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
    of = f"{shared:,} of the {rows:,} rows of '{split}'"
    of = of if whole else f"at least {shared:,} of {rows:,} rows of '{split}' that were checked"
    return f"{of} are also in 'train', with the same inputs and targets"


def _path(case: Case, split: str) -> Path:
    if split == "validation" and case.config.validation_split > 0:
        return ("fit", "validation_split")
    cut = case.data is not None and case.data.split is not None and split in case.data.split.parts()
    return ("data", "split") if cut else ("data", "source")
