"""Rows of `validation` or `test` that are in `train` as well: what is measured on them is too good."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from kerascli.data.on_disk import chosen
from kerascli.data.table import Table
from kerascli.data.tokens import is_ragged
from kerascli.errors import Fault, Path
from kerascli.workflow.advice.case import Case, warning
from kerascli.workflow.advice.row_keys import keys

_MOST_ROWS = 100_000
_MOST_BYTES = 64 * 2**20
"""Of texts, which are hashed whole."""

_LEAST_SHARE = 0.01
_PICTURE = 64
"""Numbers a row from which on whole arrays do not repeat by chance."""

_HINT = "take the copies out before the rows are split: what is measured on rows that were trained on is too good"


def check(case: Case) -> Iterator[Fault]:
    """Warn of each split that shares more rows with `train`, inputs and targets alike, than chance repeats."""
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
            shared > _by_chance(counts, len(theirs)) or _never_by_chance(case, train, found["train"], len(known))
        ):
            whole = all(len(found[name]) == case.tables[name].rows for name in ("train", split))
            yield warning(_text(split, shared, len(theirs), whole=whole), _path(case, split), _HINT)


def _by_chance(counts: np.ndarray, rows: int) -> float:
    """As many as would not surprise: a new row is one of the known ones as often as known ones repeat (Good, 1953)."""
    expected = rows * (1 - (counts == 1).sum() / counts.sum())
    return expected + 4 * math.sqrt(expected)


def _never_by_chance(case: Case, train: Sequence[np.ndarray], found: np.ndarray, distinct: int) -> bool:
    """Return True where rows have measurements or pictures, of which hardly two are alike: the repeated are copies."""
    if distinct * 5 < len(found):
        return False
    _, first = np.unique(found, return_index=True)
    return any(_tells_rows_apart(values[first]) for values in train)


def _tells_rows_apart(values: np.ndarray) -> bool:
    """Return True for measurements that are mostly different, and for pictures."""
    if values.dtype == object:
        return False
    if values.dtype.kind == "f" and values.ndim == 1:
        return _has_fractions(values) and len(np.unique(values)) * 2 > len(values)
    return values[0].size >= _PICTURE and (values.dtype == np.uint8 or _has_fractions(values[:100]))


def _has_fractions(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool((values[np.isfinite(values)] % 1 != 0).any())


def _sample(table: Table, names: Sequence[str]) -> list[np.ndarray]:
    """The columns; of many rows some, from all over the table."""
    whole, rows = table.whole()
    raw = [whole.array(name) for name in names]
    most = min(_MOST_ROWS, _MOST_BYTES // max(1, sum(_text_bytes(values) for values in raw)))
    if table.rows > most:
        rows = chosen(rows, np.linspace(0, table.rows - 1, max(1, most)).astype(np.int64))
    return [values[rows] for values in raw]


def _text_bytes(values: np.ndarray) -> int:
    """About what a row of objects takes to be hashed; for numbers 0: of those a few are looked at."""
    if values.dtype != object or not len(values):
        return 0
    some = values[:: max(1, len(values) // 100)].reshape(-1)
    return sum(value.nbytes if is_ragged(values) else len(value) for value in some) // len(some) + 1


def _are_alike(columns: Sequence[np.ndarray], train: Sequence[np.ndarray]) -> bool:
    """Return True for columns of one form: others have no rows in common."""
    pairs = list(zip(columns, train, strict=True))
    return all(a.shape[1:] == b.shape[1:] and (a.ndim == 1 or a.dtype == b.dtype) for a, b in pairs) and all(
        (a.dtype == object) == (b.dtype == object) for a, b in pairs
    )


def _text(split: str, shared: int, rows: int, *, whole: bool) -> str:
    of = f"{shared:,} of the {rows:,} rows of '{split}'"
    of = of if whole else f"at least {shared:,} of {rows:,} rows of '{split}' that were looked at"
    return f"{of} are in 'train' as well, inputs and targets alike"


def _path(case: Case, split: str) -> Path:
    if split == "validation" and case.config.validation_split > 0:
        return ("fit", "validation_split")
    cut = case.data is not None and case.data.split is not None and split in case.data.split.parts()
    return ("data", "split") if cut else ("data", "source")
