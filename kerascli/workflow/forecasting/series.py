"""Time series to forecast: the rows of its past, and columns of its future that are known (such as dates)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerascli.data.batches.rows import Arrays
from kerascli.data.command_input import CommandInput
from kerascli.data.dates import ORDER, Dates
from kerascli.data.pipeline.columns import not_numbers
from kerascli.data.read import joined
from kerascli.data.series_gaps import readable
from kerascli.data.sources.timeseries import NEXT
from kerascli.data.storage.on_disk import in_memory
from kerascli.data.storage.table import Table, as_text
from kerascli.data.transforms.datetime import date_formats
from kerascli.foundation.errors import DataError, Fault, counted, safe_text
from kerascli.workflow.forecasting.series_model import SeriesModel

_FUTURE = "predict --future FILE"


@dataclass(frozen=True, slots=True)
class Series:
    """Time series: the table of its past rows and, if they are known, the table of columns of its future rows."""

    history: Table
    future: Table | None
    dates: Mapping[str, Dates]
    """Mapping from each column of the history that holds dates to these dates."""
    group: tuple[str, str | int] | None = None
    """Name and value of the column that identifies this series among those of one table; None if it is the only one."""

    @property
    def main_dates(self) -> str | None:
        """Name of the date column that orders the rows of the series; None unless there is exactly one."""
        return next(iter(self.dates)) if len(self.dates) == 1 else None

    @property
    def name(self) -> str:
        name = self.history.name or "the series"
        return name if self.group is None else f"{name} ({self.group[0]}: {self.group[1]})"

    def group_column(self, rows: int) -> Arrays:
        """Return {name: values} of the column that identifies this series, with its value repeated `rows` times.

        The mapping is empty if this is the only series of its table.
        """
        if self.group is None:
            return {}
        name, value = self.group
        return {name: np.full(rows, value, object if isinstance(value, str) else None)}

    def future_values(self, column: str, rows: int) -> np.ndarray:
        """Return the values of a column in the first `rows` rows after a time series.

        The values come from the file of future columns or, for a column of dates with a constant step, continue the
        dates. Raises DataError for any other column, and for a file of fewer rows.
        """
        if (future := self.future) is not None and column in future:
            if future.rows < rows:
                text = f"the future has {counted(future.rows, 'row')}; the forecast needs {rows:,}"
                raise DataError(text, place=future.name, hint="give more rows, or a smaller --horizon")
            return in_memory(future.column(column))[:rows]
        dates = self.dates.get(column)
        if dates is None:
            self.history.column(column)  # raises DataError with the most similar name
            raise DataError(f"the future of '{safe_text(column)}' is not known", hint=f"give it in a file: {_FUTURE}")
        step = dates.step()
        if step is None:
            text = f"the dates of '{safe_text(column)}' have no constant step, and what comes next is not known"
            raise DataError(text, place=self.name, hint=f"give the next dates in a file: {_FUTURE}")
        return np.array(dates.written(step.after(dates.times[-1], rows)), object)

    def future_columns(self, needed: Mapping[str, int]) -> Arrays:
        """Return the future values of the columns of a time series that the model needs but does not predict.

        `needed` maps these columns to the numbers of rows to return. Raises DataError if values are missing.
        """
        rows = max(needed.values(), default=0)
        unknown = [column for column in needed if column not in self.dates and column not in (self.future or ())]
        if unknown:
            text = f"the model does not predict '{safe_text(unknown[0], 40)}', and needs it after the last row"
            listed = safe_text(", ".join(dict.fromkeys([*self.group_column(0), *self.dates, *unknown])))
            place = self.name if self.future is None else self.future.name
            raise DataError(text, place=place, hint=f"give {counted(rows, 'row')} of {listed} in a file: {_FUTURE}")
        return {column: self.future_values(column, rows)[:count] for column, count in needed.items()}


def read_history(model: SeriesModel, what: str, keep: frozenset[str]) -> Table:
    """Return the table of the time series in the file `what` (`-`: standard input), with gaps filled.

    `keep` names columns to read in addition to those that the model needs.
    """
    return _filled(model, read_table(model, what, model.used, keep), model.data.columns())


def _filled(model: SeriesModel, table: Table, columns: frozenset[str]) -> Table:
    """Return a table of a time series with gaps of columns filled; what was done is a warning."""
    filled = model.source.filled(table, columns)
    model.run.warnings += [Fault(filled.note, level="warning")] if filled.note else []
    return filled


def read_future(model: SeriesModel, future: Path | None, keep: frozenset[str]) -> Table | None:
    """Return the table of the rows after a time series, read from the file `future`; None without a file.

    The table has the columns that the model needs of these rows, and those that `keep` names.
    """
    return None if future is None else read_table(model, str(future), keep=keep | {*model.exogenous})


def each_series(model: SeriesModel, history: Table, future: Table | None) -> list[Series]:
    """Return the time series of the table `history`, each with its own rows of `future`. Raises DataError."""
    column, later = model.source.group, {} if future is None else model.source.series(future)
    all_series: list[Series] = []
    for value, rows in model.source.series(history).items():
        if future is not None and value not in later:
            text = f"there are no rows of series '{safe_text(str(value), 40)}'"
            raise DataError(text, place=future.name, hint=f"'{safe_text(str(column))}' names the series")
        part = None if future is None else future.take(later[value])
        group = None if column is None or value is None else (column, value)
        all_series.append(series_of(model, history.take(rows), part, group))
    return all_series


def series_of(model: SeriesModel, history: Table, future: Table | None, group: tuple[str, str | int] | None) -> Series:
    """Return a Series of the table `history` and, if it is given, the table `future` of the rows after it.

    `group` has the name and value of the column that identifies the series among several (None: it is the only one).
    Raises DataError if the rows are not in order of time.
    """
    if future is not None and model.source.fill is not None:  # gaps after the history continue it
        both = joined([history.take(slice(history.rows - 1, history.rows)), future])
        both = _filled(model, both, frozenset(model.exogenous))
        future = both.take(slice(1, both.rows))
    series = Series(history, future, date_columns(model, history), group)
    if (main := series.main_dates) is not None:
        dates = series.dates[main]
        if (row := dates.first_disorder()) is not None:
            raise DataError(dates.out_of_order(row), place=history.place(row, main), hint=ORDER)
        if future is not None and main in future:
            _check_future(future, main, dates)
    return series


def date_columns(model: SeriesModel, table: Table) -> dict[str, Dates]:
    """Return a mapping from column name to dates, for the columns of a table that have a date in every row."""
    formats = {name.removesuffix(NEXT): form for name, form in date_formats(model.data.inputs.values()).items()}
    columns = {name: Dates.of(readable(table, name), formats.get(name)) for name in table}
    return {name: dates for name, dates in columns.items() if dates is not None}


def read_table(model: SeriesModel, what: str, needed: Sequence[str] = (), keep: frozenset[str] = frozenset()) -> Table:
    """Return the raw rows of a time series as a table, read from the file `what` or, for `-`, from standard input.

    `needed` names the columns of the model's inputs, `keep` columns to read in addition, for the output; the file must
    have them all. The settings of the run's data source apply.
    """
    needed = list(dict.fromkeys(filter(None, [*needed, model.source.group])))
    raw, run = model.data.of_rows(model.source.source, needed), model.run
    return CommandInput(raw, run.raw_fields, run.config.context.folder, False, keep | {*needed}).read([what])


def _check_future(future: Table, column: str, dates: Dates) -> None:
    """Raise DataError if future dates do not continue the dates of the series, by its constant step if it has one."""
    later, step = Dates.of(readable(future, column), dates.form), dates.step()
    if later is None:
        raise DataError(f"'{safe_text(column)}' holds dates in the series, and something else here", place=future.name)
    due = later.times if step is None else step.after(dates.times[-1], len(later.times))
    before = np.concatenate([dates.times[-1:], later.times[:-1]])
    for row in np.flatnonzero((later.times <= before) | (later.times != due)).tolist():
        text = f"{later.texts[row]} does not continue the dates of the series, which end with {dates.texts[-1]}"
        hint = "give the rows after it" + ("" if step is None else f", with a step of {step}")
        raise DataError(text, place=future.place(row, column), hint=hint)


def whole_column(model: SeriesModel, series: Series, column: str, future: np.ndarray | None, rows: int) -> np.ndarray:
    """Return a column over the past and `rows` future rows of a series; unknown values are empty (NaN or '').

    `future` are the known values of the first future rows; None: none is known. Raises DataError if the column contains
    text, but contained numbers in training.
    """
    is_text = model.is_text(column)
    past = series.history.text(column) if is_text else in_memory(series.history.column(column))
    later = past[:0] if future is None else as_text(future) if is_text else future
    for table, values in ((series.history, past), (series.future, later)):
        if not is_text and table is not None and values.dtype == object:
            raise not_numbers(table, column, values)
    empty = np.full((rows - len(later), *past.shape[1:]), "" if is_text else np.nan, past.dtype if is_text else None)
    return np.concatenate([past, later, empty] if len(empty) else [past, later])
