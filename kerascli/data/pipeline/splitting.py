"""Split the training rows of a data source into train, validation and test, as the config section `data.split` says."""

from collections.abc import Mapping

import numpy as np

from kerascli.data import split as divide
from kerascli.data.base import Context
from kerascli.data.dates import parsed_times
from kerascli.data.section import DataSpec, SplitSpec
from kerascli.data.storage.blocks import rows_by_value, unique_inverse
from kerascli.data.storage.on_disk import blocks, in_memory
from kerascli.data.storage.row_errors import BadRows
from kerascli.data.storage.table import Table, missing
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import ConfigError, DataError, Fault, counted, safe_text


def split_tables(spec: DataSpec, tables: dict[str, Table], context: Context) -> dict[str, Table]:
    """Return a mapping from split to table, with the rows of `train` divided by `data.split`.
    Raises DataError, ConfigError."""
    if spec.split is None or "train" not in tables:
        return tables
    for name, key in spec.split.part_keys().items():
        if name in tables:
            text = f"split.{key}: the source has its own '{name}' split of {tables[name].rows} rows"
            raise ConfigError(Fault(text, ("data", "split", key), "key", hint=f"take '{key}' out of split"))
    train = tables["train"]
    seed = context.seed if spec.split.seed is None else spec.split.seed
    series = spec.source.series_column()
    rows = _chosen(spec.split, train, seed, series)
    if spec.split.fold is not None:
        rest = rows["train"]
        numbers = _fold_numbers(spec.split, train.take(rest), seed, series)
        learns = numbers < spec.split.fold if spec.split.order is not None else numbers != spec.split.fold
        rows = {**rows, "train": rest[learns], "validation": rest[numbers == spec.split.fold]}
    _refuse_empty(spec.split, rows, train.rows)
    return {**tables, **{name: train.take(chosen) for name, chosen in rows.items()}}


def _refuse_empty(
    split: SplitSpec, parted: Mapping[str, np.ndarray], rows: int, of: str = "", key: str | None = None
) -> None:
    """Raise DataError if a part of a split of so many rows has none; `of` is " of series 'a'", split by the `key`."""
    for name in (name for name, chosen in parted.items() if not len(chosen)):
        share = split.parts().get(name, 1 - sum(split.parts().values()))
        text = f"split: {share:g} of {counted(rows, 'row')}{of} is 0 rows for '{name}'"
        raise DataError(text, path=("data", "split", key or name), hint=divide.SHORT if of else None)


def _chosen(split: SplitSpec, train: Table, seed: int, series: str | None) -> Mapping[str, np.ndarray]:
    """Return a mapping from split (`train`, `validation`, `test`) to the indices of the training rows that it gets."""
    if not split.parts():  # there are folds alone
        return {"train": np.arange(train.rows)}
    if split.order is not None:
        times, parts = _times(train, split.order), split.parts()
        each = [(of, rows, divide.ordered_split(times[rows], parts)) for of, rows in _each_series(train, series)]
        for of, rows, parted in each if series is not None else ():
            _refuse_empty(split, parted, len(rows), of, "order")
        return {name: np.sort(np.concatenate([rows[parted[name]] for _, rows, parted in each])) for name in each[0][2]}
    names, classes = _classes(train, "stratify", split.stratify)
    if split.group is not None:
        return divide.grouped_split(_classes(train, "group", split.group)[1], classes, split.parts(), seed)
    if split.stratify is not None and len(single := np.flatnonzero(np.bincount(classes) == 1)):
        name, parts = safe_text(str(names[single[0]])), " and ".join(["train", *split.parts()])
        text, hint = f"class '{name}' has 1 row; it cannot be in {parts}", f"see column '{split.stratify}'"
        raise DataError(f"split: {text}", path=("data", "split", "stratify"), hint=hint)
    return divide.random_split(classes, split.parts(), seed)


def _fold_numbers(split: SplitSpec, table: Table, seed: int, series: str | None) -> np.ndarray:
    """Return the number of the fold (1 to `split.folds`) of each row of a table that the test rows are taken out of.

    By time the earliest rows are in none, which is 0. Raises DataError if a fold is empty.
    """
    folds, numbers, each = split.folds or 0, np.zeros(table.rows, np.int64), [("", np.arange(table.rows))]
    if split.order is not None:
        times, each = _times(table, split.order), _each_series(table, series)
        for _, rows in each:
            numbers[rows] = divide.ordered_folds(times[rows], folds)
    elif split.group is not None:
        numbers += 1 + divide.grouped_folds(_classes(table, "group", split.group)[1], folds)
    else:
        order, (_, classes) = divide.shuffled(table.rows, seed), _classes(table, "stratify", split.stratify)
        numbers[order] = 1 + divide.stratified_folds(classes[order], folds)
    for of, rows in each:
        empty = np.flatnonzero(np.bincount(numbers[rows], minlength=folds + 1) == 0)
        if len(empty := empty[empty >= (split.order is None)]):
            what = f"fold {empty[0]}" if empty[0] else "the rows before the first fold"
            text = f"split: {folds} folds of {counted(len(rows), 'row')}{of} leave 0 rows for {what}"
            raise DataError(text, path=("data", "split", "folds"), hint="write fewer folds")
    return numbers


def _classes(train: Table, key: str, column: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of a column of strings or integers to split by (classes or groups), ascending, and the
    index of each row's value among them; None: all rows have one. Raises DataError."""
    if column is None:
        return np.zeros(1), np.zeros(train.rows, np.uint8)
    values = train.text(column) if column in train.files else train.column(column)
    text = f"split.{key}: column '{column}' does not hold {'class labels' if key == 'stratify' else 'groups'}"
    hint = "expected one string or integer per row, none missing"
    wrong = DataError(text, path=("data", "split", key), hint=hint)
    if len(values.shape) != 1 or is_ragged(values):
        raise wrong
    names, classes = unique_inverse(values)
    gaps = missing(names) if names.dtype.kind in "fO" else np.zeros(len(names), bool)
    if names.dtype.kind == "f" and (names[~gaps] % 1 != 0).any():
        raise wrong
    if gaps.any():
        raise BadRows.of(train, np.flatnonzero(gaps[classes]), column, _GAP)
    return names, classes


_GAP = "missing value: the rows are split by this column"


def _times(train: Table, column: str) -> np.ndarray:
    """Return the column of times to split by: numbers, ISO 8601 dates, or the last time of each window.

    Raises DataError.
    """
    values = train.column(column)
    path = ("data", "split", "order")
    if values.shape[1:][1:] == (1,) and not is_ragged(values):  # windows of a series
        values = np.concatenate([block[:, -1, 0] for block in blocks(values)])
    values = in_memory(values)
    if len(values.shape) != 1 or is_ragged(values):
        raise DataError(f"split.order: column '{column}' has no numbers or dates, one a row", path=path)
    if values.dtype != object:
        if len(gaps := np.flatnonzero(missing(values))):
            raise BadRows.of(train, gaps, column, _GAP)
        return values
    times = parsed_times(values.tolist())
    if len(bad := np.flatnonzero(np.isnat(times))):
        word = safe_text(str(values[bad[0]]), 40)
        text = f"'{word}' is no date: expected 2026-11-27, or with a time 2026-11-27T15:30"
        raise BadRows.of(train, bad, column, text)
    return times


def _each_series(train: Table, series: str | None) -> list[tuple[str, np.ndarray]]:
    """Return the row numbers of each series in the training rows, by the column `series`, with words for messages
    (" of series 'a'"); None: there is one."""
    if series is None:
        return [("", np.arange(train.rows))]
    groups = zip(*rows_by_value(train.column(series)), strict=True)
    return [(f" of series '{safe_text(str(name), 40)}'", rows) for name, rows in groups]


def cut_tail(tables: dict[str, Table], part: float, series: str | None = None) -> dict[str, Table]:
    """Move the last training rows to a split `validation`, as Keras's `validation_split`; those of each series, if the
    column `series` tells several apart. Raises DataError, ConfigError."""
    if "validation" in tables:
        text = "validation_split: the data has a 'validation' split already"
        hint = "write validation_data: validation instead"
        raise ConfigError(Fault(text, ("fit", "validation_split"), "key", hint=hint))
    train = tables["train"]
    if series is None:
        start = divide.tail_start(train.rows, part)
        return {**tables, "train": train.take(slice(0, start)), "validation": train.take(slice(start, None))}
    cut = [np.split(rows, [divide.tail_start(len(rows), part, of)]) for of, rows in _each_series(train, series)]
    first, last = (np.sort(np.concatenate([each[end] for each in cut])) for end in (0, 1))
    return {**tables, "train": train.take(first), "validation": train.take(last)}
