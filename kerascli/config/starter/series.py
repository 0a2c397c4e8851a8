"""Draft a config for the time series of a table: the model predicts the next value from a window of rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.columns import missing
from kerascli.config.starter.draft import Draft, columns, free_name, listed
from kerascli.config.starter.find_series import LEAST, Series
from kerascli.config.starter.ladder import check_kind
from kerascli.config.starter.look import Looked
from kerascli.config.starter.target import AS_GIVEN, OTHERWISE
from kerascli.config.starter.texts import encoder
from kerascli.config.starter.training import compile_section, fit_section
from kerascli.foundation.errors import DataError, Fault, Place, safe_text

_PERIODS = {"minute": 60, "hour": 24, "day": 7, "working day": 5, "week": 52, "month": 12, "quarter": 4, "year": 10}
_FEW = 500
"""Number of rows of a time series, below which a linear model is the default."""
_APART = 10
"""Ratio of the largest mean of several series to the smallest, from which their logarithm is learned."""
_NEXT = "_next"


def series_draft(looked: Looked, series: Series, given: str | None, kind: str | None, path: str) -> Draft:
    """Return the draft of a config for time series; `given` is the column to predict (None: the last numeric one).

    Raises ConfigError, DataError.
    """
    name = given or series.values[-1]
    _check(looked, name)
    draft = Draft(f"Forecasts the next value of '{safe_text(name)}'.")
    for finding in looked.findings:
        draft.decide("data", finding)
    parts = series.parts(looked.columns[name].astype(np.float64))
    length = _length(draft, series, f"{safe_text(name)} ({AS_GIVEN if given is not None else OTHERWISE})", parts)
    others = [each for each in series.values if each != name and not missing(looked.columns[each]).all()]
    scale = _scaling(draft, name, parts)
    source = {looked.source: {"path": escape_references(path), **escape_references(looked.settings)}}
    windows: dict[str, Any] = {"source": source, "sequence_length": length}
    if series.group is not None:
        windows["group"] = escape_references(series.group)
    key = free_name(f"{name}{_NEXT}")
    data: dict[str, Any] = {"source": {"timeseries": windows}}
    of_each = " of each series" if series.group is not None else ""
    if series.time is not None and series.is_iso:
        data["split"] = {"validation": 0.15, "test": 0.15, "order": escape_references(series.time + _NEXT)}
        draft.decide("data", f"split by time: the last 15 %{of_each} are for the test, the 15 % before them validate")
    else:
        why = "there is no column of dates to split off a test by"
        draft.decide("fit", f"the last 20 % of the windows{of_each} validate: {why}")
    data["inputs"] = {"history": [columns([name]), {"impute": "median"}, *scale]}
    if others:
        data["inputs"]["context"] = [columns(others), {"impute": "median"}, "normalization"]
        draft.decide("data", f"further columns, of which the past is known: {listed(others)}")
    for column in series.left_out:
        draft.decide("data", f"left out: {safe_text(column.name)} ({column.reason or 'remarks'})")
    if series.attributes:
        draft.decide("data", f"left out: {listed(series.attributes)} (one value in all rows of a series)")
    data["targets"] = {key: [*([] if key == name + _NEXT else [columns(name + _NEXT)]), *scale]}
    draft.sections["data"] = data
    kind = _model(draft, looked.all_rows, kind, length, has_context=bool(others))
    compile_section(draft, (), balanced=False, learning_rate=5e-3 if kind == "linear" else 1e-3)
    fit_section(draft, looked.all_rows, validation="validation" if "split" in data else 0.2)
    return draft


def _check(looked: Looked, name: str) -> None:
    """Raise DataError if there are too few rows to learn from, or if the column to predict misses values."""
    if looked.rows < LEAST:
        text = f"{looked.rows} rows: a series needs {LEAST} to be learned from"
        raise DataError(Fault(text, place=Place(looked.name)))
    gaps = missing(looked.columns[name])
    if gaps.any():
        hint = "fill them first: windows go over all rows, and a row left out would shift the time"
        text = f"the series '{safe_text(name)}' misses {gaps.sum():,} of its values"
        raise DataError(Fault(text, place=Place(looked.name), hint=hint))


def _length(draft: Draft, series: Series, target: str, parts: Sequence[np.ndarray]) -> int:
    """Return the number of rows of a window, by the period of the longest series and the rows of the shortest; say it,
    and what the target is."""
    every = f", one row a {series.every}" if series.time else ""
    target = f"target: {target}"
    counts = sorted(map(len, parts))
    if series.group is None:
        draft.decide("data", f"a series{every}, in order of time; {target}")
    else:
        rows = f"{counts[0]:,}" if counts[0] == counts[-1] else f"{counts[0]:,} to {counts[-1]:,}"
        number = f"{len(parts):,} series of {rows} rows, which '{safe_text(series.group)}' tells apart"
        draft.decide("data", f"{number}{every}, each in order of time; {target}")
        draft.decide("data", "one model for all series; no window crosses from one to another")
    period, why = _period(max(parts, key=len), series.every)
    length = int(max(4, min(2 * period, counts[0] // 5)))
    draft.decide("data", f"windows of {length} rows, {why}, predict the row after them")
    return length


def _model(draft: Draft, rows: int, kind: str | None, length: int, *, has_context: bool) -> str:
    """Add the section `model` to the draft, and return the kind of model: the given one, or one by the number of rows.
    Raises ConfigError."""
    if kind is None and rows < _FEW:
        kind = "linear"
        draft.decide("model", f"fewer than {_FEW} rows: a linear model, which is hard to beat there")
    kind = check_kind(kind, ("mlp", "linear", "cnn", "lstm", "transformer"), "a series")
    draft.sections["model"] = {"layers": _layers(kind, length, has_context=has_context)}
    draft.decide("model", "the model adds a change to the last value: a straight line is learned at once, trends go on")
    draft.decide("model", f"the change: a linear model{_SAID[kind]}")
    return kind


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
        return f"'{safe_text(name)}' grows by a factor"
    means = [values.mean() for values in parts]
    return f"'{safe_text(name)}' differs by a factor from series to series" if max(means) > _APART * min(means) else ""


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
