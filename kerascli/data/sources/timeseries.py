"""Source `timeseries`: sliding windows over another source's rows, as keras.utils.timeseries_dataset_from_array."""

from dataclasses import replace
from typing import Any, Self

import numpy as np
from pydantic import field_validator, model_validator

from kerascli.data.base import Context, Field, Fields, Tables, source
from kerascli.data.series_gaps import WAYS, Fill, filled, ordered_dates
from kerascli.data.sources.wrapped import Gathered, WrappedSource, gathered, values_in_memory
from kerascli.data.storage.blocks import rows_by_value
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import Table, missing
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import DataError, Place, counted, safe_text, show, suggestion
from kerascli.foundation.shapes import NonNegativeInt, PositiveInt

NEXT = "_next"
Series = dict[str | int | None, np.ndarray]
"""Rows of each series of a table, by its value in the column `group` (None: there is one)."""


@source()
class Timeseries(WrappedSource):
    """Sliding windows over another source's rows, which are in order of time at equal intervals.

    Each column becomes windows (sequence_length, 1), and `NAME_next` is its value `offset` rows after the window's
    start, also of texts and dates; with `horizon`, several values (horizon, 1). A list of columns is stacked:
    `[{columns: [a, b]}]` is (sequence_length, 2). As Keras's timeseries_dataset_from_array. With `group` the rows are
    of several series, and no window crosses from one to another.
    """

    gap_hint = "'fill: forward' of timeseries takes the value before; if there is none, begin later by 'start_index'"

    sequence_length: PositiveInt
    """Length of a window, in time steps."""
    sequence_stride: PositiveInt = 1
    """Distance between the starts of successive windows, in rows."""
    sampling_rate: PositiveInt = 1
    """Distance between successive time steps within a window, in rows."""
    offset: NonNegativeInt | None = None
    """Distance in rows from a window's start to its target `NAME_next`; null: `sequence_length * sampling_rate`."""
    horizon: PositiveInt = 1
    """Number of values in the target `NAME_next`, `sampling_rate` rows apart; 1: one value, without an axis of time."""
    start_index: NonNegativeInt = 0
    """Index of the first row used, from 0; of each series, if there are several."""
    end_index: PositiveInt | None = None
    """End of the rows used (exclusive), of each series; null: all rows."""
    group: str | None = None
    """Column whose values (text or integers) tell several series apart, one value per window; null: one series."""
    fill: Fill | None = None
    """Fill missing values, and missing dates as rows: `forward`, `linear`, a number, or a mapping from column to these.
    `forward` is the last value before; `linear` lies between it and the next one, which is known only later.
    For text, a mapping may name a text; null: nothing is filled."""

    @field_validator("fill", mode="before")
    @classmethod
    def _ways_are_spelled(cls, value: Any) -> Any:
        for way in value.values() if isinstance(value, dict) else (value,):
            meant = suggestion(way, WAYS) if isinstance(way, str) and way not in WAYS else ""
            if meant or (isinstance(value, str) and value not in WAYS):
                expected = "forward, linear, a number, or a mapping from column to these or a text"
                raise ValueError(f"expected {expected}, got {show(way)}{meant}")
        return value

    @model_validator(mode="after")
    def _keeps_series(self) -> Self:
        inner = self.source.series_column()
        if inner is not None and self.group != inner:
            got = "null" if self.group is None else f"'{self.group}'"
            raise ValueError(f"group: expected '{inner}', which tells the series of its source apart, got {got}")
        return self

    def facts(self, context: Context) -> Fields | None:
        fields = self.source.facts(self.inner_context(context))
        if fields is None:
            return None
        own, one = {name: field for name, field in fields.items() if name == self.group}, self.horizon == 1
        windows = {name: _stepped(field, self.sequence_length) for name, field in fields.items() if name not in own}
        ahead = {name + NEXT: fields[name] if one else _stepped(fields[name], self.horizon) for name in windows}
        return {**windows, **own, **ahead}

    def load(self, context: Context) -> Tables:
        tables = self.inner_tables(context)
        for name in self.fill if isinstance(self.fill, dict) else ():
            next(iter(tables.values())).like(name)  # raises DataError if there is no such column
        used = None if context.columns is None else context.columns - context.shown
        return {name: self.windows(self.filled(table, used), name, context.columns) for name, table in tables.items()}

    def filled(self, table: Table, columns: frozenset[str] | None) -> Table:
        """Return a table of the wrapped source's rows with gaps filled as `fill` says, one series after the other.

        Those of other columns than `columns`, which are names of columns of windows (None: all), are not filled. Raises
        DataError.
        """
        if self.fill is None:
            return table
        table, series = self._in_order(table)
        used = frozenset(table) if columns is None else self.row_columns(columns) & frozenset(table)
        values = {name: values_in_memory(table, name, "windows") for name in sorted(used)}
        return filled(table, list(series.values()), self.fill, values, self.group)

    def _in_order(self, table: Table) -> tuple[Table, Series]:
        """Return a table with the rows of one series after the other, and the rows of each. Raises DataError."""
        series = self.series(table)
        table = table.take(np.concatenate(list(series.values()))) if len(series) > 1 else table
        ends = np.cumsum([*map(len, series.values())])
        return table, dict(zip(series, np.split(np.arange(table.rows), ends[:-1]), strict=True))

    def first_ahead(self) -> int:
        """Return the distance, in rows, from a window's start to the first value of its target `NAME_next`."""
        return self.sequence_length * self.sampling_rate if self.offset is None else self.offset

    def lead(self) -> int:
        """Return the distance, in rows, from a window's last row to the first value of its target `NAME_next`."""
        return self.first_ahead() - (self.sequence_length - 1) * self.sampling_rate

    def row_columns(self, columns: frozenset[str]) -> frozenset[str]:
        names = {name.removesuffix(NEXT) for name in columns}
        return frozenset(names if self.group is None else names | {self.group})

    def span(self, *, ahead: bool) -> int:
        """Return the distance, in rows, from a window's start to its last row or, with `ahead`, to the end of its
        target `NAME_next`."""
        behind = (self.sequence_length - 1) * self.sampling_rate
        return max(behind, self.first_ahead() + (self.horizon - 1) * self.sampling_rate) if ahead else behind

    def values_at(self, windows: Values, steps: int | list[int] = -1) -> np.ndarray | None:
        """Return the value of each window at a time step (rows,), by default the last one, or at several (rows, steps),
        if the windows hold one value per time step, else None."""
        if windows.shape[1:] != (self.sequence_length, 1):
            return None
        return windows.at(steps) if isinstance(windows, Gathered) else np.asarray(windows)[:, steps, 0]

    def earlier_values(self, table: Table, column: str, season: int | None = None) -> np.ndarray | None:
        """Return predictions of the column `NAME_next` by earlier values of the windows: the last one or, with
        `season`, the last that is a multiple of `season` rows before the predicted row.

        None: the windows hold no such values, or the target is not after the window.
        """
        name, rate, last = column.removesuffix(NEXT), self.sampling_rate, self.span(ahead=False)
        ahead = (self.first_ahead() + step * rate for step in range(self.horizon))
        rows = [last if season is None else row + (last - row) // season * season for row in ahead]
        if name == column or name not in table or self.lead() < 1 or min(rows) < 0 or any(row % rate for row in rows):
            return None
        steps = [row // rate for row in rows]
        values = self.values_at(table.column(name), steps[0] if self.horizon == 1 else steps)
        return values if values is None or self.horizon == 1 else values[..., None]

    def series_column(self) -> str | None:
        return self.group

    def series(self, table: Table) -> Series:
        """Return the row numbers of each series of a table. Raises DataError."""
        if self.group is None:
            return {None: np.arange(table.rows)}
        values, fault = table.column(self.group), "does not hold one text or integer per row"
        if isinstance(values, np.ndarray) and values.ndim == 1 and not is_ragged(values):
            gaps = missing(values)
            if gaps.any() and (values.dtype == object or (values[~gaps] % 1 == 0).all()):  # floats: integers with gaps
                place = table.place(int(gaps.argmax()), self.group)
                raise DataError("missing value: the rows belong to a series by this column", place=place)
            if values.dtype.kind in "Oiu":
                names, rows = rows_by_value(values)
                return dict(sorted(zip(names.tolist(), rows, strict=True), key=lambda each: each[1][0]))
            if values.dtype.kind == "b":
                fault = "holds true and false; expected a text or an integer per row"
        raise table.fault(f"group: '{self.group}' {fault}", "each value names a series")

    def starts(self, rows: int, *, ahead: bool) -> np.ndarray:
        """Return the first row of each window of a series of `rows` rows; `ahead`: of those with `NAME_next`."""
        end = min(rows, self.end_index or rows) - self.span(ahead=ahead)
        return np.arange(self.start_index, end, self.sequence_stride)

    def _taken(self, table: Table, used: frozenset[str]) -> list[str]:
        """Return the columns of a table of which windows or later values are used. Raises DataError for a name of
        both."""
        names = [name for name in table if name != self.group and {name, name + NEXT} & used]
        for twice in (name for name in names if name + NEXT in used.intersection(table)):
            text = f"'{twice}{NEXT}' is a column, and the name of the value of '{twice}' after a window"
            raise table.fault(text, "rename the column, in the file or in a query")
        return names

    def windows(self, table: Table, split: str, used: frozenset[str] | None) -> Table:
        """Return a table of sliding windows over a table's rows, with the `used` columns (None: all).

        Raises DataError.
        """
        used = frozenset([*table, *(name + NEXT for name in table)]) if used is None else used
        names = self._taken(table, used)
        ahead = any(name + NEXT in used for name in names)
        table, series = self._in_order(table)
        starts = self._all_starts(series, table, split, ahead=ahead)
        columns: dict[str, Values] = {}
        whole = {name: values_in_memory(table, name, "windows") for name in names}
        ordered_dates(whole, table, list(series.values()))
        for name, values in whole.items():
            if name in used:
                columns[name] = gathered(values, starts, self.sampling_rate * np.arange(self.sequence_length))
            if name + NEXT in used:
                steps = 0 if self.horizon == 1 else self.sampling_rate * np.arange(self.horizon)
                columns[name + NEXT] = gathered(values, starts + self.first_ahead(), steps)
        if self.group is not None:
            columns[self.group] = table.array(self.group)[starts]

        def place(row: int, column: str, at: tuple[int, int]) -> Place:
            is_next = column not in table and column.endswith(NEXT)
            index, width = at
            step = index * (self.horizon if is_next else self.sequence_length) // width if width else 0
            behind = step * self.sampling_rate + (self.first_ahead() if is_next else 0)
            return table.place(int(starts[row]) + behind, column.removesuffix(NEXT) if is_next else column)

        return Table(columns, len(starts), name=table.name, lines=table.numbers()[starts], made_of=place,
                     skipped=table.skipped, note=table.note)  # fmt: skip

    def _all_starts(self, series: Series, table: Table, split: str, *, ahead: bool) -> np.ndarray:
        """Return the first row of each window of a table whose series follow each other. Raises DataError."""
        starts = {name: rows[self.starts(len(rows), ahead=ahead)] for name, rows in series.items()}
        short = [name for name in starts if not len(starts[name])]
        if short:
            name, count = short[0], len(series[short[0]])
            of = "" if name is None else f" of series '{safe_text(str(name), 40)}'"
            more = f"; so is it with {len(short) - 1} more series" if len(short) > 1 else ""
            rows = max(0, min(count, self.end_index or count) - self.start_index)
            text = f"'{split}' has {counted(rows, 'row')}{of}; a window takes {self.span(ahead=ahead) + 1:,}{more}"
            hint = None if name is None else "leave its rows out of the file, or make windows shorter"
            raise DataError(text, place=table.name or self.source.component_name, hint=hint)
        return np.concatenate(list(starts.values()))


def _stepped(field: Field, steps: int) -> Field:
    """Return the field of a column with an axis of time steps."""
    return replace(field, shape=(steps, *(field.shape or (1,))))
