"""Generate a config for the time series of a table: the model predicts the next value from a window of rows."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.columns import NEARLY_ONE, Column, Roles
from kerascli.config.starter.draft import Draft, column_step, columns, free_name, listed
from kerascli.config.starter.models import check_kind, series_layers
from kerascli.config.starter.sample import SampledTable
from kerascli.config.starter.target import BY_OPTION, OTHERWISE
from kerascli.data.dates import Dates, parsed_times, regular_times
from kerascli.data.storage.table import missing
from kerascli.foundation.errors import DataError, counted, safe_text

_LEAST = 40
"""Minimum number of rows of a time series; `kerascli init` refuses fewer."""
_TIME = re.compile(r"(year|time|t|date|month|day|hour|step|decimal_?date|timestamp)", re.IGNORECASE)
_NO_USE = ("row numbers", "one value", "no value", "nearly all missing", NEARLY_ONE)
_PERIODS = {"minute": 60, "hour": 24, "day": 7, "working day": 5, "week": 52, "month": 12, "quarter": 4, "year": 10}
_FEW = 500
"""Number of rows of a time series, below which a linear model is the default."""
_NEXT = "_next"
_CHANGES = {"linear": "", "mlp": ", and hidden layers beside it", "lstm": ", and an LSTM beside it"}


@dataclass(frozen=True, slots=True)
class Series:
    """Table of a time series: numeric columns at equal intervals of time, in order."""

    time: str | None
    """Name of the column with the times; None if the table's only column is the series."""
    every: str
    """Interval between rows as a word, for example `month`."""
    values: tuple[str, ...]
    """Names of the columns of numbers, in the order of the table."""
    is_iso: bool
    """True if the rows can be sorted by the values of the time column as they are: numbers, or dates in ISO format."""
    left_out: tuple[Column, ...] = ()
    """Columns that the config leaves out: row numbers, columns with one value."""


def find_series(table: SampledTable, roles: Roles) -> Series | None:
    """Return a table as `Series` if it holds a time series, else None.

    `roles` maps the name of each column of the table to a Column, which has its role (numeric, date ...).
    """
    if len(roles) == 1:
        (name,) = roles
        return Series(None, "row", (name,), is_iso=False) if roles[name].may_be_value else None
    found = (_series(roles, time, times) for time, times in _times(table, roles).items())
    return next(filter(None, found), None)


def _times(table: SampledTable, roles: Roles) -> dict[str, np.ndarray]:
    """Return the columns that may hold the times of a series: dates, then numbers called so."""
    dates = [each for each in roles.values() if each.role == "date" and not each.has_gaps]
    forms = {each.name: each.date_format or None for each in dates}
    times = {name: parsed_times(table.columns[name].tolist(), form, "s") for name, form in forms.items()}
    numbers = [name for name in roles if _TIME.fullmatch(name) and table.columns[name].dtype.kind in "iuf"]
    return times | {name: table.columns[name] for name in numbers}


def _series(roles: Roles, time: str, times: np.ndarray) -> Series | None:
    """Return the table as a series; None if its rows are not in order at equal intervals, or words vary in it."""
    every = _interval(times)
    others = [column for name, column in roles.items() if name != time]
    values = tuple(column.name for column in others if column.may_be_value)
    rest = tuple(column for column in others if not column.may_be_value)
    if every is None or not values or any(column.reason not in _NO_USE for column in rest):
        return None
    return Series(time, every, values, not roles[time].date_format, rest)


def _interval(times: np.ndarray) -> str | None:
    """Return the interval between the rows of a series as a word such as `day`; None if it varies.

    The interval of numbers is called `step`.
    """
    if times.dtype.kind == "M":
        return _spacing(times)
    if len(times) < _LEAST:
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
    raw = table.columns[name].astype(np.float64)
    values = raw[~np.isnan(raw)]
    length = _length(draft, series, f"{shown} ({BY_OPTION if option is not None else OTHERWISE})", values)
    scale = _scaling(draft, shown, values)
    windows: dict[str, Any] = {"source": source, "sequence_length": length}
    data: dict[str, Any] = {"source": {"timeseries": windows}}
    is_split = series.time is not None and series.is_iso
    if is_split:
        data["split"] = {"validation": 0.15, "test": 0.15, "order": escape_references(f"{series.time}{_NEXT}")}
        draft.decide("data", "split by time: the last 15 % are for the test, the 15 % before them validate")
    else:
        why = "there is no column of dates to split off a test by"
        draft.decide("fit", f"the last 20 % of the windows validate: {why}")
    data["inputs"] = {"history": [columns([name]), {"impute": "median"}, *scale]}
    further = [each for each in series.values if each != name and not missing(table.columns[each]).all()]
    if gaps := list(_gaps(table, series, (name, *further))):
        windows["fill"] = "forward"
        draft.decide("data", f"{listed(gaps)}: filled by the value before ('fill')")
    if late := int((~np.isnan(raw)).argmax()):
        windows["start_index"] = late
        draft.decide("data", f"begins after {counted(late, 'row')}, before which '{shown}' has no value")
    if further:
        data["inputs"]["context"] = [columns(further), {"impute": "median"}, "normalization"]
        draft.decide("data", f"further columns, of which the past is known: {listed(further)}")
    draft.decide("data", *(f"left out: {safe_text(column.name)} ({column.reason})" for column in series.left_out))
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
        regular = regular_times(dates.times)
        if regular is not None and (count := len(regular[1]) - table.rows):
            yield counted(count, "date") + " without a row"
    for name in names:
        if count := int(missing(table.columns[name]).sum()):
            yield counted(count, "missing value") + f" of '{safe_text(name, 40)}'"


def _length(draft: Draft, series: Series, target: str, values: np.ndarray) -> int:
    """Return the number of rows of a window, by the period of the series; record the reasons, and the target."""
    every = f", one row a {series.every}" if series.time else ""
    draft.decide("data", f"a series{every}, in order of time; target: {target}")
    period, why = _period(values, series.every)
    length = int(max(4, min(2 * period, len(values) // 5)))
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


def _scaling(draft: Draft, name: str, values: np.ndarray) -> list[Any]:
    """Return the transforms that scale the window of past values (input) and the target alike, with `log` first if the
    series grows by a factor."""
    steps: list[Any] = []
    third = len(values) // 3
    if values.min() > 0 and values[-third:].mean() > 1.6 * values[:third].mean():
        values, steps = np.log(values), ["log"]
        draft.decide("data", f"'{name}' grows by a factor: its logarithm is learned, and undone by predict")
    scale = float(f"{1 / (float(values.std()) or 1.0):.4g}")
    offset = float(f"{-values.mean() * scale:.4g}")
    draft.decide("data", "history and target are scaled alike, by the mean and the deviation seen here")
    return [*steps, {"rescaling": {"scale": scale, "offset": offset}}]
