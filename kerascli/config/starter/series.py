"""Draft a config for a time series in a table: the model predicts the next value from a window of rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.columns import Column, missing
from kerascli.config.starter.dates import spacing, times_of
from kerascli.config.starter.draft import Draft, columns, free_name, listed
from kerascli.config.starter.ladder import check_kind
from kerascli.config.starter.look import Looked
from kerascli.config.starter.texts import encoder
from kerascli.config.starter.training import compile_section, fit_section
from kerascli.errors import DataError, Fault, Place, safe_text

_TIME = re.compile(r"(year|time|t|date|month|day|hour|step|decimal_?date|timestamp)", re.IGNORECASE)
_PERIODS = {"minute": 60, "hour": 24, "day": 7, "working day": 5, "week": 52, "month": 12, "quarter": 4, "year": 10}
_FEW = 500
"""Number of rows of a time series, below which a linear model is the default."""
_LEAST = 40
"""Minimum number of rows of a time series; `kerascli init` refuses fewer."""
_NEXT = "_next"


@dataclass(frozen=True, slots=True)
class Series:
    """Table that is a time series: rows in order of time at equal intervals; its other columns are numeric."""

    time: str | None
    """Name of the column with the times; None if the table's only column is the series."""
    every: str
    """Interval between rows as a word, for example `month`."""
    values: tuple[str, ...]
    """Names of the columns of numbers, in the order of the table."""
    is_iso: bool
    """True if the rows can be sorted by the values of the time column as they are: numbers, or dates in ISO format."""


def series_of(looked: Looked, found: Mapping[str, Column]) -> Series | None:
    """Return the table as a `Series` if it is a time series, else None; `found` maps its columns to their roles."""
    times = [name for name, column in found.items() if column.role == "date" or _is_time(name, looked)]
    others = {name: column for name, column in found.items() if name not in times[:1]}
    values = tuple(name for name, column in others.items() if column.role in ("numbers", "skewed"))
    rest = [column for name, column in others.items() if name not in values and column.reason not in _NO_USE]
    if not values or rest:
        return None
    if not times:
        return Series(None, "row", values, is_iso=False) if len(found) == 1 else None
    name, column = times[0], found[times[0]]
    if column.role != "date":
        return Series(name, "step", values, is_iso=True)
    texts = looked.columns[name]
    dates = None if column.has_gaps else times_of(texts.tolist(), column.date_format)
    every = None if dates is None else spacing(dates)
    return None if every is None else Series(name, every, values, is_iso=not column.date_format)


_NO_USE = ("row numbers", "one value", "no value", "nearly all missing")


def _is_time(name: str, looked: Looked) -> bool:
    """Return True if a numeric column holds times: its name is a word like `year`, its values grow by equal steps."""
    values = looked.columns[name]
    if values.dtype.kind not in "iuf" or not _TIME.fullmatch(name) or len(values) < _LEAST:
        return False
    steps = np.diff(values.astype(np.float64))
    return bool(steps.min() > 0 and np.mean(np.abs(steps - np.median(steps)) <= 0.1 * np.median(steps)) > 0.95)


def series_draft(looked: Looked, series: Series, given: str | None, kind: str | None, path: str) -> Draft:
    """Return the draft of a config for a time series; `given` is the column to predict (None: the last numeric one).

    Raises ConfigError, DataError.
    """
    name = given or series.values[-1]
    values = looked.columns[name].astype(np.float64)
    if looked.rows < _LEAST:
        text = f"{looked.rows} rows: a series needs {_LEAST} to be learned from"
        raise DataError(Fault(text, place=Place(looked.name)))
    gaps = missing(looked.columns[name])
    if gaps.any():
        hint = "fill them first: windows go over all rows, and a row left out would shift the time"
        text = f"the series '{safe_text(name)}' misses {gaps.sum():,} of its values"
        raise DataError(Fault(text, place=Place(looked.name), hint=hint))
    draft = Draft(f"Forecasts the next value of '{safe_text(name)}'.")
    for finding in looked.findings:
        draft.decide("data", finding)
    every = f", one row a {series.every}" if series.time else ""
    draft.decide("data", f"a series{every}, in order of time; target: {safe_text(name)} (--target chooses another)")
    period, why = _period(values, series.every)
    length = int(max(4, min(2 * period, len(values) // 5)))
    draft.decide("data", f"windows of {length} rows, {why}, predict the row after them")
    others = [each for each in series.values if each != name and not missing(looked.columns[each]).all()]
    scale = _scaling(draft, name, values)
    source = {looked.source: {"path": escape_references(path), **escape_references(looked.settings)}}
    key = free_name(f"{name}{_NEXT}")
    data: dict[str, Any] = {"source": {"timeseries": {"source": source, "sequence_length": length}}}
    if series.time is not None and series.is_iso:
        data["split"] = {"validation": 0.15, "test": 0.15, "order": escape_references(series.time + _NEXT)}
        draft.decide("data", "split by time: the last 15 % are for the test, the 15 % before them validate")
    else:
        draft.decide("fit", "the last 20 % of the windows validate: there is no column of dates to split off a test by")
    data["inputs"] = {"history": [columns([name]), *scale]}
    if others:
        impute = [{"impute": "median"}] if any(missing(looked.columns[each]).any() for each in others) else []
        data["inputs"]["context"] = [columns(others), *impute, "normalization"]
        draft.decide("data", f"further columns, of which the past is known: {listed(others)}")
    data["targets"] = {key: [*([] if key == name + _NEXT else [columns(name + _NEXT)]), *scale]}
    draft.sections["data"] = data
    if kind is None and looked.all_rows < _FEW:
        kind = "linear"
        draft.decide("model", f"fewer than {_FEW} rows: a linear model, which is hard to beat there")
    kind = check_kind(kind, ("mlp", "linear", "cnn", "lstm", "transformer"), "a series")
    draft.sections["model"] = {"layers": _layers(kind, length, has_context=bool(others))}
    draft.decide("model", "the model adds a change to the last value: a straight line is learned at once, trends go on")
    draft.decide("model", f"the change: a linear model{_SAID[kind]}")
    compile_section(draft, (), balanced=False, learning_rate=5e-3 if kind == "linear" else 1e-3)
    fit_section(draft, looked.all_rows, validation="validation" if "split" in data else 0.2)
    return draft


_SAID = {
    "linear": " of the window", "mlp": " of the window, and hidden layers beside it",
    "cnn": " of the window, and convolutions beside it", "lstm": " of the window, and an LSTM beside it",
    "transformer": " of the window, and a transformer's encoder beside it",
}  # fmt: skip


def _period(values: np.ndarray, every: str) -> tuple[int, str]:
    """Return a series's period in rows, from its autocorrelation or else the calendar, and text for a comment."""
    steps = np.diff(values)
    steps = steps - steps.mean()
    usual = _PERIODS.get(every, 10)
    most = min(len(steps) // 3, 400)
    power = float(steps @ steps)
    if power == 0 or most < 4:
        return usual, "about two periods"
    found = np.array([steps[: len(steps) - lag] @ steps[lag:] / power for lag in range(most)])
    inner = found[1:-1]
    peaks = np.flatnonzero((inner > found[:-2]) & (inner > found[2:]) & (inner > 0.25)) + 1
    if len(peaks):
        best = int(peaks[np.argmax(found[peaks])])
        first = next(int(peak) for peak in peaks if found[peak] >= 0.8 * found[best])
        return max(2, first), f"two of its periods of {first}"
    return usual, "two of " + ("its usual periods" if every == "row" else f"the usual periods of {usual} {every}s")


def _scaling(draft: Draft, name: str, values: np.ndarray) -> list[Any]:
    """Return the transforms that scale the window of past values (input) and the target alike, with `log` first if the
    series grows by a factor."""
    third = len(values) // 3
    steps: list[Any] = []
    if values.min() > 0 and values[-third:].mean() > 1.6 * values[:third].mean():
        values, steps = np.log(values), ["log"]
        draft.decide("data", f"'{safe_text(name)}' grows by a factor: its logarithm is learned, and undone by predict")
    deviation = float(values.std()) or 1.0
    scale = float(f"{1 / deviation:.4g}")
    offset = float(f"{-values.mean() * scale:.4g}")
    draft.decide("data", "history and target are scaled alike, by the mean and the deviation seen here")
    return [*steps, {"rescaling": {"scale": scale, "offset": offset}}]


def _layers(kind: str, length: int, *, has_context: bool) -> list[Any]:
    """Return the layers of a forecasting model: the last value of the window, plus a linear layer and a network of kind
    `kind`, which both take the window."""
    window = "window" if has_context else "change"
    layers: list[Any] = [
        {"expr": {"value": "history[:, -1, :]", "name": "last"}},
        {"expr": {"value": "history - history[:, -1:, :]", "name": "change"}},
        *([{"concatenate": {"inputs": ["change", "context"], "name": "window"}}] if has_context else []),
        {"flatten": {"inputs": window, "name": "steps"}},
        {"dense": {"units": 1, "inputs": "steps", "name": "linear"}},
    ]
    if kind == "linear":
        return [*layers, {"add": ["last", "linear"]}]
    last = {"units": 1, "kernel_initializer": "zeros", "name": "bend"}
    return [*layers, *_deep(kind, window, length), {"dense": last}, {"add": ["last", "linear", "bend"]}]


def _deep(kind: str, window: str, length: int) -> list[Any]:
    if kind == "mlp":
        return [
            {"dense": {"units": 64, "activation": "relu", "inputs": "steps"}},
            {"dropout": 0.1},
            {"dense": {"units": 32, "activation": "relu"}},
        ]
    if kind == "cnn":
        conv = {"filters": 32, "kernel_size": 3, "padding": "causal", "activation": "relu"}
        return [
            {"conv_1d": {**conv, "inputs": window}},
            {"conv_1d": {**conv, "dilation_rate": 2}},
            "flatten",
            {"dense": {"units": 32, "activation": "relu"}},
        ]
    if kind == "lstm":
        return [{"lstm": {"units": 32, "inputs": window}}]
    return [
        {"dense": {"units": 32, "inputs": window, "name": "projected"}},
        {"weight": {"shape": [length, 32], "initializer": {"random_normal": {"stddev": 0.02}}, "name": "positions"}},
        {"expr": {"value": "projected + positions", "name": "placed"}},
        *encoder("placed", 32),
        "global_average_pooling_1d",
    ]
