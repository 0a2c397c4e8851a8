"""Columns of the rows after a time series: those of the file of future columns, and dates that continue."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.date_steps import regular_times
from kerascli.data.pipeline.columns import not_numbers
from kerascli.data.storage.on_disk import in_memory
from kerascli.foundation.errors import DataError, counted, one_of, safe_text
from kerascli.workflow.forecasting.series import FUTURE, Series
from kerascli.workflow.forecasting.series_model import SeriesModel


def future_values(series: Series, column: str, rows: int) -> np.ndarray:
    """Return the values of a column in the first `rows` rows after a time series.

    The values come from the file of future columns or, for a column of dates with a constant step, continue the dates.
    Raises DataError for any other column.
    """
    if series.future is not None and column in series.future:
        return in_memory(series.future.column(column))[:rows]
    dates = series.dates.get(column)
    if dates is None:
        series.history.column(column)  # raises DataError with the most similar name
        raise DataError(f"the future of '{safe_text(column)}' is not known", hint=f"give it in a file: {FUTURE}")
    step = dates.step()
    if step is None:
        hint = f"give the next dates in a file: {FUTURE}"
        if regular_times(dates.times) is not None:
            hint = f"train with 'fill: forward' of timeseries, which adds missing dates; or {hint}"
        if len(dates.texts) < 2:
            raise DataError(f"the step of '{safe_text(column)}' is not known from one date", hint=hint)
        row = dates.first_gap()
        text = f"the dates of '{safe_text(column)}' have no constant step: {dates.texts[row]} follows "
        place = series.history.place(row, column)
        raise DataError(f"{text}{dates.texts[row - 1]}, and what comes next is not known", place=place, hint=hint)
    return np.array(dates.written(step.after(dates.times[-1], rows)), object)


def future_columns(model: SeriesModel, series: Series, needed: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return the future values of the columns of a time series that the model needs but does not predict.

    `needed` maps these columns to the numbers of rows to return. Raises DataError if values are missing.
    """
    rows = max(needed.values(), default=0)
    if series.future is not None and series.future.rows < rows:
        text = f"the future has {counted(series.future.rows, 'row')}; the forecast needs {rows:,}"
        raise DataError(text, place=series.future.name, hint="give more rows, or a smaller --horizon")
    unknown = [column for column in needed if series.future is None and column not in series.dates]
    if unknown:
        names = one_of([f"'{safe_text(column, 40)}'" for column in unknown])
        text = (
            f"the model does not predict {names}, and needs {'them' if len(unknown) > 1 else 'it'} after the last row"
        )
        listed = safe_text(", ".join(dict.fromkeys([*series.dates, *unknown])))
        hint = f"give {counted(max(needed[column] for column in unknown), 'row')} of {listed} in a file: {FUTURE}"
        raise DataError(text, place=series.name, hint=hint)
    return {column: future_values(series, column, count) for column, count in needed.items()}


def whole_column(model: SeriesModel, series: Series, column: str, future: np.ndarray | None, rows: int) -> np.ndarray:
    """Return a column over the past and `rows` future rows of a series; unknown values are empty (NaN or '').

    `future` are the known values of the first future rows; None: none is known. Raises DataError if the column contains
    text, but contained numbers in training.
    """
    if model.is_text(column):
        past = series.history.text(column)
        later = [] if future is None else future.astype(str).tolist()
        return np.concatenate([past, np.array([*later, *[""] * (rows - len(later))], object)])
    past = in_memory(series.history.column(column))
    for table, values in ((series.history, past), (series.future, future)):
        if table is not None and values is not None and values.dtype == object:
            raise not_numbers(table, column, values)
    later = np.empty((0, *past.shape[1:]), past.dtype) if future is None else future
    empty = np.full((rows - len(later), *past.shape[1:]), np.nan)
    return np.concatenate([past, later, empty] if len(empty) else [past, later])
