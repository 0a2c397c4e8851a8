"""Generate a config for the time series of a table: the model predicts the next value from a window of rows.

The table holds one series, or several, which a column of identifiers distinguishes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.columns import DIFFERENT_WORDS, NEARLY_ONE, Column, Roles
from kerascli.config.starter.draft import Draft, column_step, columns, free_name, listed
from kerascli.config.starter.models import check_kind, series_layers
from kerascli.config.starter.sample import SampledTable
from kerascli.config.starter.target import BY_OPTION, OTHERWISE
from kerascli.data.dates import Dates, parsed_times, regular_times
from kerascli.data.storage.blocks import rows_by_value
from kerascli.data.storage.table import missing
from kerascli.foundation.errors import DataError, counted, safe_text

_LEAST = 40
"""Minimum number of rows of a time series; `kerascli init` refuses fewer."""
_LEAST_OF_SEVERAL = 20
"""Minimum number of rows of each of several series; a table with shorter ones counts as rows without an order."""
_TIME = re.compile(r"(year|time|t|date|month|day|hour|step|decimal_?date|timestamp)", re.IGNORECASE)
_NO_USE = ("row numbers", "one value", "no value", "nearly all missing", NEARLY_ONE)
_REMARKS = 0.5
"""Share of missing values from which on a column of texts holds remarks on some rows of a series."""
_PERIODS = {"minute": 60, "hour": 24, "day": 7, "working day": 5, "week": 52, "month": 12, "quarter": 4, "year": 10}
_FEW = 500
"""Number of rows of a time series, below which a linear model is the default."""
_APART = 10
"""Ratio of the largest mean of several series to the smallest, from which their logarithm is learned."""
_NEXT = "_next"
_CHANGES = {"linear": "", "mlp": ", and hidden layers beside it", "lstm": ", and an LSTM beside it"}


@dataclass(frozen=True, slots=True)
class Series:
    """Table of one or more time series, each with numeric columns at equal intervals of time, in order."""

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
    """Name of the column that identifies each of several series; None if there is only one series."""
    attributes: tuple[str, ...] = ()
    """Names of the columns that have one value in all rows of each of several series."""
    left_out: tuple[Column, ...] = ()
    """Columns that the config leaves out: row numbers, columns with one value, texts that few rows have (remarks)."""


def find_series(table: SampledTable, roles: Roles) -> Series | None:
    """Return a table as `Series` if it holds one or more time series, else None.

    `roles` maps the name of each column of the table to a Column, which has its role (numeric, date ...).
    """
    whole = (np.arange(table.rows),)
    if len(roles) == 1:
        (name,) = roles
        return Series(None, "row", (name,), is_iso=False, rows=whole) if roles[name].may_be_value else None
    times = _times(table, roles)
    repeating = [time for time, values in times.items() if len(np.unique(values)) < table.rows]
    grouped = ((time, *group) for time in repeating for group in _groups(table, roles, time))
    candidates = chain(((time, None, whole) for time in times), grouped)
    found = (_series(table, roles, time, times[time], group, rows) for time, group, rows in candidates)
    return next(filter(None, found), None)


def _times(table: SampledTable, roles: Roles) -> dict[str, np.ndarray]:
    """Return the columns that may hold the times of a series: dates, then numbers called so."""
    dates = [each for each in roles.values() if each.role == "date" and not each.has_gaps]
    forms = {each.name: each.date_format or None for each in dates}
    times = {name: parsed_times(table.columns[name].tolist(), form, "s") for name, form in forms.items()}
    numbers = [name for name in roles if _TIME.fullmatch(name) and table.columns[name].dtype.kind in "iuf"]
    return times | {name: table.columns[name] for name in numbers}


def _series(
    table: SampledTable, roles: Roles, time: str, times: np.ndarray, group: str | None, rows: tuple[np.ndarray, ...]
) -> Series | None:
    """Return the table as one series, or as several with the rows `rows` by the column `group`; None if the rows of
    one are not in order at equal intervals, or words vary in it."""
    intervals = {_interval(times[each], 2 if group else _LEAST) for each in rows}
    every = next(iter(intervals))
    if len(intervals) > 1 or every is None:
        return None
    names = [name for name in roles if name not in (time, group)]
    columns = {name: table.columns[name] for name in names if group}
    fixed = [name for name, values in columns.items() if all(len(set(values[each].tolist())) == 1 for each in rows)]
    varying = [roles[name] for name in names if name not in fixed]
    values = tuple(column.name for column in varying if column.may_be_value)
    rest = tuple(column for column in varying if column.name not in values)
    if not values or not all(_is_of_no_use(table, column) for column in rest):
        return None
    return Series(time, every, values, not roles[time].date_format, rows, group, tuple(fixed), rest)


def _is_of_no_use(table: SampledTable, column: Column) -> bool:
    """Return True for a column that a series is found beside: row numbers, one value, or remarks on some rows."""
    is_remark = column.role == "prose" or column.reason.endswith(DIFFERENT_WORDS)
    return column.reason in _NO_USE or (is_remark and bool(missing(table.columns[column.name]).mean() > _REMARKS))


def _groups(table: SampledTable, roles: Roles, time: str) -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    """Yield each column of texts or integers that may identify several series, with the rows of each of its values;
    categorical columns and identifiers come first."""
    for name in sorted(roles, key=lambda name: roles[name].may_be_value):
        if name == time or roles[name].has_gaps or table.columns[name].dtype.kind not in "Oiu":
            continue
        _, groups = rows_by_value(table.columns[name])
        if len(groups) > 1 and min(map(len, groups)) >= _LEAST_OF_SEVERAL:
            yield name, tuple(groups)


def _interval(times: np.ndarray, least: int) -> str | None:
    """Return the interval between the rows of a series as a word such as `day`; None if it varies.

    The interval of numbers, of which there must be `least` or more, is called `step`.
    """
    if times.dtype.kind == "M":
        return _spacing(times)
    if len(times) < least:
        return None
    steps = np.diff(times.astype(np.float64))
    is_even = steps.min() > 0 and np.mean(np.abs(steps - np.median(steps)) <= 0.1 * np.median(steps)) > 0.95
    return "step" if is_even else None


def _spacing(times: np.ndarray) -> str | None:
    """Return the interval between sorted dates as a word, if it is the same throughout; else None."""
    steps = np.diff(times).astype(np.int64)
    months = np.diff(times.astype("datetime64[M]").astype(np.int64))
    if not len(steps) or steps.min() <= 0:
        return None
    usual, share = float(np.median(steps)), 0.95 if regular_times(times) is None else 0.5  # dates may be missing
    if np.mean(np.abs(steps - usual) <= 0.02 * usual) > share:
        names = {60: "minute", 3600: "hour", 86400: "day", 604800: "week"}
        return names.get(int(usual), "month" if 28 <= usual / 86400 <= 31 else f"{usual:g} seconds")
    for size, name in ((1, "month"), (3, "quarter"), (12, "year")):
        if np.mean(months == size) > share:
            return name
    return "working day" if np.mean(np.isin(steps, (86400, 3 * 86400))) > 0.9 else None


def series_draft(table: SampledTable, series: Series, option: str | None, kind: str | None, path: str) -> Draft:
    """Generate the draft of a config for time series; `option` is the column to predict (None: the last numeric one).

    `kind` is the kind of model (`mlp`, `linear`, `lstm`; None: chosen by the number of rows), `path` the path of the
    table's file that the config gives. Raises ConfigError, DataError.
    """
    name = option or series.values[-1]
    shown = safe_text(name)
    if table.rows < _LEAST:
        raise DataError(f"{counted(table.rows, 'row')}: a series needs {_LEAST} to be learned from", place=table.name)
    draft, source = table.draft(f"Forecasts the next value of '{shown}'.", path)
    raw = [table.columns[name].astype(np.float64)[rows] for rows in series.rows]
    parts = [values[~np.isnan(values)] for values in raw]
    length = _length(draft, series, f"{shown} ({BY_OPTION if option is not None else OTHERWISE})", parts)
    scale = _scaling(draft, shown, parts)
    windows: dict[str, Any] = {"source": source, "sequence_length": length}
    if series.group is not None:
        windows["group"] = escape_references(series.group)
    data: dict[str, Any] = {"source": {"timeseries": windows}}
    is_split = series.time is not None and series.is_iso
    of_each = " of each series" if series.group is not None else ""
    if is_split:
        data["split"] = {"validation": 0.15, "test": 0.15, "order": escape_references(f"{series.time}{_NEXT}")}
        draft.decide("data", f"split by time: the last 15 %{of_each} are for the test, the 15 % before them validate")
    else:
        why = "there is no column of dates to split off a test by"
        draft.decide("fit", f"the last 20 % of the windows{of_each} validate: {why}")
    data["inputs"] = {"history": [columns([name]), {"impute": "median"}, *scale]}
    further = [each for each in series.values if each != name and not missing(table.columns[each]).all()]
    if gaps := list(_gaps(table, series, (name, *further))):
        windows["fill"] = "forward"
        draft.decide("data", f"{listed(gaps)}: filled by the value before ('fill')")
    if late := max(int((~np.isnan(values)).argmax()) for values in raw):
        windows["start_index"] = late
        draft.decide("data", f"begins after {counted(late, 'row')}, before which '{shown}' has no value")
    if further:
        data["inputs"]["context"] = [columns(further), {"impute": "median"}, "normalization"]
        draft.decide("data", f"further columns, of which the past is known: {listed(further)}")
    reasons = ((column.name, column.reason or "remarks") for column in series.left_out)
    draft.decide("data", *(f"left out: {safe_text(each)} ({reason})" for each, reason in reasons))
    if series.attributes:
        draft.decide("data", f"left out: {listed(series.attributes)} (one value in all rows of a series)")
    key = free_name(f"{name}{_NEXT}")
    data["targets"] = {key: [*column_step(f"{name}{_NEXT}", key), *scale]}
    draft.sections["data"] = data
    kind = _model(draft, table.all_rows, kind, has_context=bool(further))
    draft.compile(learning_rate=5e-3 if kind == "linear" else 1e-3)
    draft.fit(validation="validation" if is_split else 0.2)
    return draft


def _gaps(table: SampledTable, series: Series, names: Sequence[str]) -> Iterator[str]:
    """Yield the numbers of dates that have no row, and of the values that each column misses, as texts."""
    dates = None if series.time is None else Dates.of(table.columns[series.time])
    if dates is not None and table.rows == table.all_rows:  # a sample has gaps of its own
        all_times = [regular_times(dates.times[rows]) for rows in series.rows]
        if count := sum(len(each[1]) - len(rows) for each, rows in zip(all_times, series.rows, strict=True) if each):
            yield counted(count, "date") + " without a row"
    for name in names:
        if count := int(missing(table.columns[name]).sum()):
            yield counted(count, "missing value") + f" of '{safe_text(name, 40)}'"


def _length(draft: Draft, series: Series, target: str, parts: Sequence[np.ndarray]) -> int:
    """Return the number of rows of a window, by the period of the longest series and the rows of the shortest; record
    the reasons, and the target."""
    every = f", one row a {series.every}" if series.time else ""
    counts = sorted(map(len, parts))
    if series.group is None:
        draft.decide("data", f"a series{every}, in order of time; target: {target}")
    else:
        rows = f"{counts[0]:,}" if counts[0] == counts[-1] else f"{counts[0]:,} to {counts[-1]:,}"
        number = f"{len(parts):,} series of {rows} rows, which '{safe_text(series.group)}' tells apart"
        draft.decide("data", f"{number}{every}, each in order of time; target: {target}")
        draft.decide("data", "one model for all series; no window crosses from one to another")
    period, why = _period(max(parts, key=len), series.every)
    length = int(max(4, min(2 * period, counts[0] // 5)))
    draft.decide("data", f"windows of {length} rows, {why}, predict the row after them")
    return length


def _model(draft: Draft, rows: int, kind: str | None, *, has_context: bool) -> str:
    """Add the section `model` to the draft, and return the kind of model: the given one, or one by the number of rows.
    Raises ConfigError."""
    if kind is None and rows < _FEW:
        kind = "linear"
        draft.decide("model", f"fewer than {_FEW} rows: a linear model, which is hard to beat there")
    kind = check_kind(kind, ("mlp", "linear", "lstm"), "a series")
    draft.sections["model"] = {"layers": series_layers(kind, has_context=has_context)}
    draft.decide("model", "the model adds a change to the last value: a straight line is learned at once, trends go on")
    draft.decide("model", f"the change: a linear model of the window{_CHANGES[kind]}")
    return kind


def _period(values: np.ndarray, every: str) -> tuple[int, str]:
    """Return a series's period in rows, from its autocorrelation or else the calendar, and text for a comment."""
    steps = np.diff(values)
    steps = steps - steps.mean()
    usual = _PERIODS.get(every, 10)
    most = min(len(steps) // 3, 400)
    power = float(steps @ steps)
    if power == 0 or most < 4:
        return usual, "about two periods"
    correlation = np.array([steps[: len(steps) - lag] @ steps[lag:] / power for lag in range(most)])
    inner = correlation[1:-1]
    peaks = np.flatnonzero((inner > correlation[:-2]) & (inner > correlation[2:]) & (inner > 0.25)) + 1
    if len(peaks):
        first = int(peaks[correlation[peaks] >= 0.8 * correlation[peaks].max()][0])
        return max(2, first), f"two of its periods of {first}"
    return usual, "two of " + ("its usual periods" if every == "row" else f"the usual periods of {usual} {every}s")


def _scaling(draft: Draft, name: str, parts: Sequence[np.ndarray]) -> list[Any]:
    """Return the transforms that scale the window of past values (input) and the target alike, with `log` first if the
    series grow by a factor, or differ by one; `parts` are the values of each series."""
    steps: list[Any] = []
    if why := _factor(name, parts):
        parts, steps = [np.log(values) for values in parts], ["log"]
        draft.decide("data", f"{why}: its logarithm is learned, and undone by predict")
    deviation = float(np.sqrt(np.mean([values.var() for values in parts]))) or 1.0
    scale = float(f"{1 / deviation:.4g}")
    offset = float(f"{-np.concatenate(parts).mean() * scale:.4g}")
    draft.decide("data", "history and target are scaled alike, by the mean and the deviation seen here")
    return [*steps, {"rescaling": {"scale": scale, "offset": offset}}]


def _factor(name: str, parts: Sequence[np.ndarray]) -> str:
    """Return why the logarithm of series is learned, as text for a comment; '' if it is not."""
    if min(values.min() for values in parts) <= 0:
        return ""
    growth = [values[-(len(values) // 3) :].mean() / values[: len(values) // 3].mean() for values in parts]
    if np.median(growth) > 1.6:
        return f"'{name}' grows by a factor"
    means = [values.mean() for values in parts]
    return f"'{name}' differs by a factor from series to series" if max(means) > _APART * min(means) else ""
