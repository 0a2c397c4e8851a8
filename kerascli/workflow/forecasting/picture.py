"""Data for the plot of a forecast: history, forecast, and the true values if a split of the run's data has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from kerascli.data.dates import Dates
from kerascli.data.storage.on_disk import in_memory
from kerascli.data.storage.table import Table
from kerascli.report.forecast_plot import ForecastPanel
from kerascli.workflow.forecasting.forecast import forecast
from kerascli.workflow.forecasting.held_out import HELD_OUT, OwnSeries, own_series
from kerascli.workflow.forecasting.series import each_series
from kerascli.workflow.forecasting.series_model import SeriesModel
from kerascli.workflow.loaded import LoadedRun

_MOST_STEPS, _LEAST_STEPS, _WINDOWS, _HISTORY = 200, 50, 4, 120
"""Limits of the number of rows that are forecast by default, which is that of so many windows; and number of rows of
history up to which three times the forecast's length is drawn."""
_MOST_SERIES = 8


@dataclass(frozen=True, slots=True)
class ForecastPicture:
    """Data for the plot of a forecast: a panel for each predicted column of each series, labels, and a note."""

    panels: Sequence[ForecastPanel]
    axis: str
    """Label of the horizontal axis: name of the column of dates, or `row`."""
    truth: str
    """Name, in the plot's legend, of the true values that follow the history."""
    note: str | None
    """Text with the reason why the plot has no true values to compare the forecast with; None if it has some."""


def forecast_picture(run: LoadedRun) -> ForecastPicture:
    """Return the data for a plot of a run's forecast of held-out rows, or of the rows after the end of its data.

    Held-out rows are those of the split `test`, else of `validation`. As many rows are forecast as are held out, but at
    most 200 and at most the larger of 50 and four times the length of a window; without held-out rows, the length of a
    window. Raises ConfigError, DataError, FileRefused.
    """
    model = SeriesModel.of(run)
    own = own_series(model)
    all_panels, axes, splits = zip(*(_drawn(model, each) for each in own[:_MOST_SERIES]), strict=True)
    axis = axes[0] if len(set(axes)) == 1 else "date or row"
    notes = [] if len(own) <= _MOST_SERIES else [f"the first {_MOST_SERIES} of {len(own)} series are drawn"]
    if None in splits:
        of = f" of {splits.count(None)} series" if model.source.group is not None else ""
        notes.append(f"no split holds out the last rows{of}: the forecast begins after the last row, beside no truth")
    truth = f"truth ({next(filter(None, splits), None)} split)"
    return ForecastPicture([*chain.from_iterable(all_panels)], axis, truth, "; ".join(notes) or None)


def _drawn(model: SeriesModel, own: OwnSeries) -> tuple[list[ForecastPanel], str, str | None]:
    """Return (panels of one series of a run, label of their axis, split that the forecast is compared with, if any)."""
    split, begin = _begin(model, own)
    held_out = own.end[split] - begin if split is not None else 0
    window = model.source.sequence_length
    steps = min(held_out, _MOST_STEPS, max(_LEAST_STEPS, _WINDOWS * window)) or window
    later = own.table.take(slice(begin, own.table.rows)) if split is not None else None
    (series,) = each_series(model, own.table.take(slice(0, begin)), later)
    predictions = forecast(model, series, steps)
    main = series.main_dates
    shown = slice(max(0, begin - max(steps, 2 * window, min(3 * steps, _HISTORY))), begin)
    positions, axis = np.arange(shown.start + 1, begin + steps + 1), "row"
    if main is not None and main in predictions.kept:
        after = Dates.of(predictions.kept[main], series.dates[main].form)
        assert after is not None
        positions, axis = np.concatenate([series.dates[main].times[shown], after.times]), main
    group = "" if series.group is None else f"{series.group[0]} {series.group[1]}"
    panels: list[ForecastPanel] = []
    for column, made in predictions.columns.items():
        past = _numbers(series.history, column)[shown]
        truth = _numbers(own.table, column)[begin : begin + min(held_out, steps)]
        panels.append(ForecastPanel(column, past, truth, np.asarray(made, float), positions, group))
    return panels, axis, split


def _begin(model: SeriesModel, own: OwnSeries) -> tuple[str | None, int]:
    """Return (split to compare a forecast with, its first row); without such a split, (None, number of rows)."""
    for split in HELD_OUT:
        first = own.first_held_out(split) if split in own.rows else None
        if first is not None and first >= model.source.first_ahead():
            return split, first
    return None, own.table.rows


def _numbers(table: Table, column: str) -> np.ndarray:
    return np.asarray(in_memory(table.column(column)), float)
