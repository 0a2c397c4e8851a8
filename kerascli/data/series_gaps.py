"""Gaps of time series: fill missing values, and add a row for each missing date of a series with a constant step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from kerascli.data.dates import ORDER, Dates, regular_times
from kerascli.data.storage.table import Table, missing
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import DataError, counted, in_yaml, safe_text

WAYS = ("forward", "linear")
Fill = Literal["forward", "linear"] | float | dict[str, float | str]
"""Type of `timeseries.fill`: a way to fill all columns, or a mapping from column to a way or a constant."""
Rows = Sequence[np.ndarray]
"""Rows of each of the series of a table, which are one after the other."""
_PATH = ("data", "source", "timeseries", "fill")


def filled(table: Table, series: Rows, fill: Fill, columns: Mapping[str, np.ndarray], group: str | None) -> Table:
    """Return a table of series, whose rows are one after the other, with the gaps of `columns` filled, and a row for
    each missing date; `series` are the rows of each series.

    The column `group` tells the series apart. Other columns than `columns` are empty in added rows. What stands before
    the first value of a series stays missing, unless a constant fills it. The table's note says what was done. Raises
    DataError.
    """
    made = {name: values for name in table if (values := columns.get(name, readable(table, name))) is not None}
    time, dates = ordered_dates({name: made[name] for name in made if name != group}, table, series) or ("", None)
    origin, added, due, is_uneven = _laid_out(dates, series)
    parts = np.split(np.arange(len(origin)), np.cumsum([*map(len, due)])[:-1])
    made = {name: values[origin] for name, values in made.items()}
    counts: list[str] = []
    for name in sorted(made.keys() - {time, group}):
        way = _way(table, name, columns[name], fill) if name in columns else None
        gaps = missing(made[name]) | added.reshape(-1, *[1] * (made[name].ndim - 1))
        made[name] = np.concatenate([fill_gaps(made[name][rows], gaps[rows], way) for rows in parts])
        if count := int((gaps & ~missing(made[name])).sum()):
            counts.append(f"{count:,} of '{safe_text(name, 40)}' by {str(way).removesuffix('.0')}")
    notes = [f"values filled: {', '.join(counts)}"] * bool(counts)
    if dates is not None and added.any():
        made[time][added] = dates.written(np.concatenate(due)[added])
        after = dates.texts[origin[added.argmax()]]
        notes.insert(0, f"{counted(int(added.sum()), 'missing date')} added, the first after {after}")
    if is_uneven:
        notes.append("no dates are added where they have no constant step")
    note = f"{safe_text(table.name)}: {safe_text('; '.join(notes))}" if notes else ""
    return Table(made, len(origin), name=table.name, lines=table.numbers()[origin], skipped=table.skipped, note=note,
                 made_of=lambda row, column, at: table.place(int(origin[row]), column, at))  # fmt: skip


def readable(table: Table, name: str) -> np.ndarray | None:
    """Return a column of numbers, or of one text a row, if it is in memory; None for other types."""
    try:
        values = table[name]
    except DataError:  # a type of Parquet that no model takes
        return None
    is_text = values.dtype == object and len(values.shape) == 1 and not is_ragged(values)
    return values if isinstance(values, np.ndarray) and (is_text or values.dtype != object) else None


def _way(table: Table, name: str, values: np.ndarray, fill: Fill) -> float | str | None:
    """Return the way to fill a column, None if it is not filled. Raises DataError if the column cannot be filled so."""
    way, path = (fill.get(name), (*_PATH, name)) if isinstance(fill, dict) else (fill, _PATH)
    kind = "text" if values.dtype == object else "true and false" if values.dtype == bool else "numbers"
    if way not in (None, "forward") and kind != ("text" if isinstance(way, str) and way != "linear" else "numbers"):
        text = f"fill: {in_yaml(way)} does not fill '{safe_text(name, 40)}', which holds {kind}"
        hint = f"give each column its way: fill: {{{safe_text(name, 40)}: forward, ...}}"
        raise DataError(text, path=path, hint=hint)
    gaps = missing(values)
    if way == "forward" and gaps.any() and Dates.of(values[~gaps]) is not None:
        hint = "a row without a date has no place in time: leave it out of the file"
        raise DataError("missing date", place=table.place(int(gaps.argmax()), name), hint=hint)
    return way


def ordered_dates(columns: Mapping[str, np.ndarray], table: Table, series: Rows) -> tuple[str, Dates] | None:
    """Return the only column of dates, and the dates, of a table of series with these rows; None if there is none, or
    several. Raises DataError if they go back within a series."""
    dated = [(name, dates) for name, values in columns.items() if (dates := Dates.of(values)) is not None]
    if len(dated) != 1:
        return None
    ((name, dates),) = dated
    for rows in series:
        if (row := replace(dates, times=dates.times[rows]).first_step_back()) is not None:
            row = int(rows[row])
            raise DataError(dates.out_of_order(row), place=table.place(row, name), hint=ORDER)
    return name, dates


def _laid_out(dates: Dates | None, series: Rows) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], bool]:
    """Return, for the rows of series, with rows for missing dates: the row before the gap or itself, if it is added,
    the times of each series; and if one of them has no constant step."""
    times = [rows if dates is None else dates.times[rows] for rows in series]
    regular = [None if dates is None else regular_times(each) for each in times]
    due = [each if step is None else step[1] for each, step in zip(times, regular, strict=True)]
    added = [~np.isin(*each) for each in zip(due, times, strict=True)]
    origin = [rows[np.cumsum(~each) - 1] for rows, each in zip(series, added, strict=True)]
    return np.concatenate(origin), np.concatenate(added), due, dates is not None and None in regular


def fill_gaps(values: np.ndarray, gaps: np.ndarray, way: float | str | None) -> np.ndarray:
    """Return values (rows, *) of a series with those in the mask `gaps` filled.

    `forward` takes the value before, `linear` a mean of those before and after by their distances in rows, or the one
    before at the end; None leaves them missing, and any other `way` is the value.
    """
    if not gaps.any():
        return values
    if values.ndim > 1:
        columns = zip(values.reshape(len(values), -1).T, gaps.reshape(len(values), -1).T, strict=True)
        return np.stack([fill_gaps(*each, way) for each in columns], axis=1).reshape(values.shape)
    rows = np.arange(len(values))
    if way == "forward":
        return values[np.maximum.accumulate(np.where(gaps, 0, rows))]
    if way == "linear":
        values, there = values.astype(np.result_type(values, np.float32)), rows[~gaps]
        values[gaps] = np.interp(rows[gaps], there, values[there], left=np.nan) if len(there) else np.nan
        return values
    empty = "" if values.dtype == object else np.nan
    return np.where(gaps, empty if way is None else way, values)
