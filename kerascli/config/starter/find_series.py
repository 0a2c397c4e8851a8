"""Detect time series in a table: one, or several that a column of identifiers tells apart."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from kerascli.config.starter.columns import NEARLY_ONE, Column, missing
from kerascli.config.starter.dates import spacing, times_of
from kerascli.config.starter.look import Looked

LEAST = 40
"""Minimum number of rows of a time series; `kerascli init` refuses fewer."""
_LEAST_OF_SEVERAL = 20
"""Minimum number of rows of each of several series; a table with shorter ones counts as rows without an order."""
_TIME = re.compile(r"(year|time|t|date|month|day|hour|step|decimal_?date|timestamp)", re.IGNORECASE)
_NO_USE = ("row numbers", "one value", "no value", "nearly all missing", NEARLY_ONE)
_REMARKS = 0.5
"""Share of missing values from which on a column of texts holds remarks on some rows of a series."""


@dataclass(frozen=True, slots=True)
class Series:
    """Table of time series: rows in order of time at equal intervals; the columns that vary are numeric."""

    time: str | None
    """Name of the column with the times; None if the table's only column is the series."""
    every: str
    """Interval between rows as a word, for example `month`."""
    values: tuple[str, ...]
    """Names of the columns of numbers, in the order of the table."""
    is_iso: bool
    """True if the rows can be sorted by the values of the time column as they are: numbers, or dates in ISO format."""
    rows: tuple[np.ndarray, ...]
    """Row numbers of each series, in the table's order."""
    group: str | None = None
    """Name of the column that tells several series apart; None: there is one."""
    attributes: tuple[str, ...] = ()
    """Names of the columns that have one value in all rows of each of several series."""
    left_out: tuple[Column, ...] = ()
    """Columns that are of no use: row numbers, one value, remarks."""

    def parts(self, values: np.ndarray) -> list[np.ndarray]:
        """Return the values of a column, one array for each series."""
        return [values[rows] for rows in self.rows]


def series_of(looked: Looked, found: Mapping[str, Column]) -> Series | None:
    """Return the table as `Series` if it holds time series, else None; `found` maps its columns to their roles."""
    if len(found) == 1:
        (name,) = found
        return Series(None, "row", (name,), is_iso=False, rows=_all(looked)) if _is_value(found[name]) else None
    dated = [name for name, column in found.items() if column.role == "date" and not column.has_gaps]
    numbered = [name for name in found if _TIME.fullmatch(name) and looked.columns[name].dtype.kind in "iuf"]
    times = {name: times_of(looked.columns[name].tolist(), found[name].date_format) for name in dated}
    for search in (_one, _several):
        for time in (*dated, *numbered):
            if series := search(looked, found, time, times.get(time)):
                return series
    return None


def _all(looked: Looked) -> tuple[np.ndarray, ...]:
    return (np.arange(looked.rows),)


def _is_value(column: Column) -> bool:
    return column.role in ("numbers", "skewed") or column.may_be_number


def _one(looked: Looked, found: Mapping[str, Column], time: str, times: np.ndarray | None) -> Series | None:
    """Return the table as one series; None if its rows are not in order at equal intervals, or words vary in it."""
    others = {name: column for name, column in found.items() if name != time}
    values = tuple(name for name, column in others.items() if _is_value(column))
    rest = tuple(column for name, column in others.items() if name not in values)
    if not values or not all(_is_of_no_use(looked, column) for column in rest):
        return None
    every = _interval(looked.columns[time], times, LEAST)
    is_iso = not found[time].date_format
    return None if every is None else Series(time, every, values, is_iso, _all(looked), left_out=rest)


def _is_of_no_use(looked: Looked, column: Column) -> bool:
    """Return True for a column that a series is found beside: row numbers, one value, or remarks on some rows."""
    is_remark = column.role == "prose" or column.reason == column.many_words
    return column.reason in _NO_USE or (is_remark and bool(missing(looked.columns[column.name]).mean() > _REMARKS))


def _several(looked: Looked, found: Mapping[str, Column], time: str, times: np.ndarray | None) -> Series | None:
    """Return the table as several series: times repeat, and the rows of each value of a column are in order at equal
    intervals; else None."""
    if len(np.unique(looked.columns[time] if times is None else times)) == looked.rows:
        return None
    for name, rows in _groups(looked, found, time):
        every = {_interval(looked.columns[time][each], None if times is None else times[each], 2) for each in rows}
        word = next(iter(every))
        if len(every) > 1 or word is None:
            continue
        others = [each for each in found if each not in (name, time)]
        same = [each for each in others if all(len(set(looked.columns[each][part].tolist())) == 1 for part in rows)]
        rest = tuple(found[each] for each in others if each not in same and _is_of_no_use(looked, found[each]))
        used = {each: found[each] for each in others if each not in same and found[each] not in rest}
        if used and all(map(_is_value, used.values())):
            return Series(time, word, tuple(used), not found[time].date_format, rows, name, tuple(same), rest)
    return None


def _groups(looked: Looked, found: Mapping[str, Column], time: str) -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    """Yield each column of texts or integers that may tell several series apart, with the rows of each of its values;
    columns of words and identifiers come first."""
    for name in sorted(found, key=lambda name: _is_value(found[name])):
        values = looked.columns[name]
        if name == time or found[name].has_gaps or values.dtype.kind not in "Oiu":
            continue
        _, numbers, counts = np.unique(
            values.astype(str) if values.dtype == object else values, return_inverse=True, return_counts=True
        )
        if len(counts) > 1 and counts.min() >= _LEAST_OF_SEVERAL:
            order = np.argsort(numbers.reshape(-1), kind="stable")
            yield name, tuple(np.split(order, np.cumsum(counts)[:-1]))


def _interval(values: np.ndarray, times: np.ndarray | None, least: int) -> str | None:
    """Return the interval between the rows of a series as a word; None if it varies.

    `times` are the dates; if it is None, the column holds numbers, whose interval is called `step`, and which must be
    `least` or more.
    """
    if times is not None:
        return spacing(times)
    if values.dtype.kind not in "iuf" or len(values) < least:
        return None
    steps = np.diff(values.astype(np.float64))
    is_even = steps.min() > 0 and np.mean(np.abs(steps - np.median(steps)) <= 0.1 * np.median(steps)) > 0.95
    return "step" if is_even else None
