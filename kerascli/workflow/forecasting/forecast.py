"""Forecast the rows after the end of a time series; predictions become inputs of later predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerascli.data.batches.rows import Arrays
from kerascli.data.pipeline.prepare import fitted_preparer
from kerascli.data.sources.timeseries import NEXT
from kerascli.data.storage.table import Table
from kerascli.data.text.oov import OovCounts
from kerascli.foundation.errors import DataError, Place, counted, safe_text
from kerascli.report.predictions import Predictions
from kerascli.workflow.forecasting.series import Series, each_series, read_future, read_history, whole_column
from kerascli.workflow.forecasting.series_model import SeriesModel, with_floats
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.memory import memory_for_batches
from kerascli.workflow.predict import outputs_of


def forecast_run(
    run: LoadedRun, what: str, horizon: int, future: Path | None = None, *, keep: Sequence[str] = (), raw: bool = False
) -> Predictions:
    """Return predictions of the next `horizon` rows of a time series, by the model of a trained run.

    `what` is the path of a file, or `-` for standard input. `future` is a file with the
    known columns of the rows after the series, `keep` names columns of these rows to include. With `raw`, numbers are
    in the model's scale. Raises ConfigError, DataError, FileRefused.
    """
    model, kept = SeriesModel.of(run), frozenset(keep)
    all_series = each_series(model, read_history(model, what, kept), read_future(model, future, kept))
    parts = [forecast(model, series, horizon, keep=keep, raw=raw) for series in all_series]
    return parts[0] if model.source.group is None else _below_each_other(parts)


def _below_each_other(parts: Sequence[Predictions]) -> Predictions:
    """Return the forecasts of several series as one table; a column of `keep` that a series lacks is empty there."""
    names = dict.fromkeys(name for part in parts for name in part.kept)
    kept = ({name: part.kept.get(name, np.full(part.rows, "", object)) for name in names} for part in parts)
    return Predictions.joined(replace(part, kept=own) for part, own in zip(parts, kept, strict=True))


@memory_for_batches()
def forecast(
    model: SeriesModel, series: Series, horizon: int, *, keep: Sequence[str] = (), raw: bool = False
) -> Predictions:
    """Return predictions of the `horizon` rows after the last row of a time series. Raises DataError.

    `keep` names columns of the future rows to include; default: the column of dates, if there is exactly one and its
    future values are known. With `raw`, numbers are in the model's scale; predictions that become inputs of later ones
    are always in the units of the series.
    """
    progress = _Forecast(model, series, horizon)
    progress.run()
    columns: Arrays = {}
    outputs: Arrays = {}
    for target in model.targets:
        numbers = {column: progress.outputs[column] for column in target.columns}
        shown = {c: target.shown(progress.values[c], numbers[c], raw=raw) for c in target.columns}
        columns |= shown
        outputs[target.output] = np.stack(list((numbers if raw else shown).values()), axis=1)
    finite = np.isfinite([*progress.outputs.values()]).all(0)
    return Predictions(_kept(series, keep, horizon), columns, outputs, horizon, int((~finite).sum()))


def _kept(series: Series, keep: Sequence[str], rows: int) -> Arrays:
    """Return a mapping from column to future values, to show beside a forecast; default: the dates, if known."""
    if not keep and (main := series.main_dates) is not None:
        keep = [main] if main in (series.future or ()) or series.dates[main].step() is not None else []
    group = series.group_column(rows)
    return {**group, **{name: series.future_values(name, rows) for name in keep if name not in group}}


class _Forecast:
    """Forecast in progress: the input columns over history and future, and the values predicted so far."""

    def __init__(self, model: SeriesModel, series: Series, horizon: int) -> None:
        self.model, self.series = model, series
        source, rows = model.source, series.history.rows
        first = rows - source.first_ahead()
        if first < 0:
            text = f"'{safe_text(series.name)}' has {counted(rows, 'row')}; a forecast takes the last {rows - first:,}"
            raise DataError(text, place=series.name)
        self.batches = list(_batches(model, rows, horizon))
        self.columns = _input_columns(model, series, self.batches[-1][-1] - source.first_ahead() + 1 - rows)
        """Mapping from name to input column of the model, over history and future; predicted values are filled in step
        by step."""
        fed = [name for name in model.predicted if name in self.columns]
        for name in fed:
            self.columns[name] = self.columns[name].astype(np.float64)
        self.preparer = fitted_preparer(model.data, with_floats(model.run.learned, fed), targets=False)
        self.values = {name: np.full(horizon, np.nan) for name in model.predicted}
        """Mapping from column to predicted values (horizon,), in the column's units, unrounded."""
        self.outputs = {name: np.full(horizon, np.nan, np.float32) for name in self.values}
        """Mapping from column to predicted values (horizon,), with the preprocessing not inverted."""

    def run(self) -> None:
        """Predict all future rows, batch by batch, and fill them into the columns. Raises DataError."""
        run, source = self.model.run, self.model.source
        rows, oov = self.series.history.rows, OovCounts()
        for batch in self.batches:
            split = self.preparer.split(self._windows(batch))
            oov.add(split.oov)
            outputs = outputs_of(run, split)
            for target in self.model.targets:
                output = outputs[target.output]
                values = target.values(output)
                numbers = output.numpy().reshape(values.shape)
                for index, name in enumerate(target.columns):
                    for number, row in enumerate(batch):
                        at = slice(row - rows, None, source.sampling_rate)
                        self._set(name, at, values[number, :, index], numbers[number, :, index])
        run.warnings += oov.warnings()

    def _windows(self, batch: Sequence[int]) -> Table:
        """Return the table of windows of the series (model inputs) from which a batch of future rows is predicted."""
        source, ahead = self.model.source, bool(self.model.ahead)
        first = batch[0] - source.first_ahead()
        chosen = slice(first, batch[-1] - source.first_ahead() + source.span(ahead=ahead) + 1)
        table = Table(
            {name: values[chosen] for name, values in self.columns.items()}, chosen.stop - first,
            name=self.series.name, made_of=lambda row, column, at: self._place(first + row, column),
        )  # fmt: skip
        group = source.group if source.group in self.columns else None
        plain = source.model_copy(update={"sequence_stride": 1, "start_index": 0, "end_index": None, "group": group})
        columns = frozenset([*self.model.past, *(name + NEXT for name in self.model.ahead)])
        return plain.windows(table, self.series.name, columns).take(np.array(batch) - batch[0])

    def _place(self, row: int, column: str) -> Place:
        history, future = self.series.history, self.series.future
        if row < history.rows:
            return history.place(row, column)
        row -= history.rows
        return future.place(row, column) if future is not None else Place(f"row {row + 1} of the forecast")

    def _set(self, name: str, at: slice, values: np.ndarray, numbers: np.ndarray) -> None:
        """Store predicted values of a column in future rows that have none yet, also in the column as a model input."""
        chosen = np.flatnonzero(np.isnan(self.outputs[name][at][: len(values)]))
        self.outputs[name][at][chosen] = numbers[chosen]
        self.values[name][at][chosen] = values[chosen]
        if name not in self.model.past:
            return
        if not np.isfinite(values).all():
            text = f"the forecast of '{safe_text(name)}' is nan or infinite in row {at.start + 1}"
            hint = "a smaller --horizon, or a model that was trained longer"
            raise DataError(f"{text}: it cannot be fed back", hint=hint)
        later = self.columns[name][self.series.history.rows + at.start :: at.step]
        chosen = chosen[chosen < len(later)]
        later[chosen] = values[chosen]


def _input_columns(model: SeriesModel, series: Series, end: int) -> Arrays:
    """Return the input columns over the series and the rows after it; `end` is the start of the last window, counted
    from the end of the series."""
    later = {name: max(0, end + model.source.span(ahead=name in model.ahead)) for name in model.used}
    most = max(later.values())
    group = series.group_column(series.history.rows + most)
    future = series.future_columns({name: later[name] for name in model.exogenous if later[name] and name not in group})
    rest = (name for name in model.used if name not in group)
    whole = {name: whole_column(model, series, name, future.get(name), most) for name in rest}
    return whole | {name: values for name, values in group.items() if name in model.used}


def _batches(model: SeriesModel, rows: int, horizon: int) -> Iterator[list[int]]:
    """Yield batches of row numbers to predict; no row in a batch needs predictions of the same batch."""
    source, done = model.source, set[int]()
    batch: list[int] = []
    for row in range(rows, rows + horizon):
        if row in done:
            continue
        if batch and model.feeds_back and row - source.lead() >= batch[0]:
            yield batch
            batch = []
        batch.append(row)
        done.update(row + step * source.sampling_rate for step in range(source.horizon))
    yield batch
