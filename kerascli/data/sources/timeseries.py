"""Source `timeseries`: sliding windows over another source's rows, as keras.utils.timeseries_dataset_from_array."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kerascli.data.base import Context, Field, source
from kerascli.data.sources.wrapped import WrappedSource, values_in_memory
from kerascli.data.storage.on_disk import Direct, Rows, Values, compose_rows, is_large
from kerascli.data.storage.table import Table
from kerascli.errors import DataError, Fault, Place
from kerascli.shapes import NonNegativeInt, PositiveInt

NEXT = "_next"


@source()
class Timeseries(WrappedSource):
    """Sliding windows over another source's rows, which are in order of time at equal intervals.

    Each column becomes windows (sequence_length, 1), and `NAME_next` is its value `offset` rows after the window's
    start, also of texts and dates; with `horizon`, several values (horizon, 1). A list of columns is stacked:
    `[{columns: [a, b]}]` is (sequence_length, 2). As Keras's timeseries_dataset_from_array.
    """

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
    """Index of the first row used, from 0."""
    end_index: PositiveInt | None = None
    """End of the rows used (exclusive); null: all rows."""

    def facts(self, context: Context) -> Mapping[str, Field] | None:
        found = self.source.facts(self._inner(context))
        if found is None:
            return None
        windows = {name: replace(field, shape=self._shape(field.shape)) for name, field in found.items()}
        ahead = {name: self._next_field(field) for name, field in found.items()}
        return {**windows, **{name + NEXT: field for name, field in ahead.items()}}

    def load(self, context: Context) -> Mapping[str, Table]:
        inner = self._inner(context)
        tables = self.source.load(inner)
        return {split: self.windows(table, split, context.columns) for split, table in tables.items()}

    def first_ahead(self) -> int:
        """Return the distance, in rows, from a window's start to the first value of its target `NAME_next`."""
        return self.sequence_length * self.sampling_rate if self.offset is None else self.offset

    def lead(self) -> int:
        """Return the distance, in rows, from a window's last row to the first value of its target `NAME_next`."""
        return self.first_ahead() - (self.sequence_length - 1) * self.sampling_rate

    def _inner(self, context: Context) -> Context:
        """Return the environment (`Context`) in which to load the wrapped source; it names that source's columns, not
        those of windows."""
        if context.columns is None:
            return context
        return replace(context, columns=self.row_columns(context.columns))

    def row_columns(self, columns: frozenset[str]) -> frozenset[str]:
        """Return the names of the wrapped source's columns that the given columns of windows are made of."""
        return frozenset(name.removesuffix(NEXT) for name in columns)

    def _shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (self.sequence_length, *(shape or (1,)))

    def _next_field(self, field: Field) -> Field:
        return field if self.horizon == 1 else replace(field, shape=(self.horizon, *(field.shape or (1,))))

    def span(self, *, ahead: bool) -> int:
        """Return the distance, in rows, from a window's start to its last row or, with `ahead`, to the end of its
        target `NAME_next`."""
        behind = (self.sequence_length - 1) * self.sampling_rate
        return max(behind, self.first_ahead() + (self.horizon - 1) * self.sampling_rate) if ahead else behind

    def last_values(self, windows: Values) -> np.ndarray | None:
        """Return the last value of each window (rows,), if the windows hold one value per time step, else None."""
        if windows.shape[1:] != (self.sequence_length, 1):
            return None
        return windows.last() if isinstance(windows, Windows) else np.asarray(windows)[:, -1, 0]

    def windows(self, table: Table, split: str, wanted: frozenset[str] | None) -> Table:
        """Return a table of sliding windows over a table's rows, with the `wanted` columns (None: all).

        Raises DataError.
        """
        end = table.rows if self.end_index is None else min(self.end_index, table.rows)
        names = [name for name in table if wanted is None or {name, name + NEXT} & wanted]
        ahead = wanted is None or any(name + NEXT in wanted for name in names)
        span = self.span(ahead=ahead)
        starts = np.arange(self.start_index, end - span, self.sequence_stride)
        if not len(starts):
            text = f"'{split}' has {max(0, end - self.start_index):,} rows; a window takes {span + 1:,}"
            raise DataError(Fault(text, place=Place(table.name or self.source.component_name)))
        columns: dict[str, Values] = {}
        for name in names:
            values = values_in_memory(table, name, "windows")
            if wanted is None or name in wanted:
                columns[name] = _windows(values, starts, self.sequence_length, self.sampling_rate)
            if wanted is None or name + NEXT in wanted:
                first = starts + self.first_ahead()
                one = self.horizon == 1
                columns[name + NEXT] = (
                    values[first] if one else _windows(values, first, self.horizon, self.sampling_rate)
                )

        def place(row: int, column: str, at: tuple[int, int]) -> Place:
            is_next = column not in table and column.endswith(NEXT)
            index, width = at
            step = index * (self.horizon if is_next else self.sequence_length) // width if width else 0
            behind = step * self.sampling_rate + (self.first_ahead() if is_next else 0)
            return table.place(int(starts[row]) + behind, column.removesuffix(NEXT) if is_next else column)

        return Table(columns, len(starts), name=table.name, numbers=table.numbers()[starts], made_of=place)


def _windows(values: np.ndarray, starts: np.ndarray, length: int, rate: int) -> Values:
    """Return a column of sliding windows over an array: in memory, or if that is too large, gathered on access."""
    found = Windows(values, starts, length, rate)
    return found if is_large(len(found) * found.row_bytes) else found[slice(None)]


class Windows(Direct):
    """Column of sliding windows over an array, one for each start; the values are gathered when indexed."""

    def __init__(self, values: np.ndarray, starts: np.ndarray, length: int, rate: int) -> None:
        values = values[:, None] if values.ndim == 1 else values
        super().__init__(len(starts), (length, *values.shape[1:]), values.dtype, length * values[:1].nbytes)
        self._values = values
        self._starts = starts
        self._steps = rate * np.arange(length)

    def __getitem__(self, rows: Rows) -> np.ndarray:
        return self._values[self._starts[compose_rows(self._rows, rows)][:, None] + self._steps]

    def last(self) -> np.ndarray:
        """Return the last value of each window (rows,); windows must hold one value per time step."""
        return self._values[self._starts[self._rows] + self._steps[-1], 0]
