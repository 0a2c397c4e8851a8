"""Source `timeseries`: sliding windows over another source's rows, as keras.utils.timeseries_dataset_from_array."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerascli.data.base import Context, Field, source
from kerascli.data.sources.wrapped import WrappedSource, numbers_in_memory
from kerascli.data.storage.on_disk import Direct, Rows, Values, compose_rows, is_large
from kerascli.data.storage.table import Table
from kerascli.errors import DataError, Fault, Place
from kerascli.shapes import NonNegativeInt, PositiveInt

NEXT = "_next"


@source()
class Timeseries(WrappedSource):
    """Sliding windows over another source's rows, which are in order of time at equal intervals.

    Each column becomes windows (sequence_length, 1), and `NAME_next` is its value `offset` rows after the window's
    start, also of a column of texts: a split can be in `order` of `date_next`. A list of columns is stacked:
    `[{columns: [a, b]}]` is (sequence_length, 2). As Keras's timeseries_dataset_from_array.
    """

    sequence_length: PositiveInt
    """Length of a window, in time steps."""
    sequence_stride: PositiveInt = 1
    """Distance between the starts of successive windows, in rows."""
    sampling_rate: PositiveInt = 1
    """Distance between successive time steps within a window, in rows."""
    offset: NonNegativeInt | None = None
    """Distance from a window's start to its `NAME_next`, in rows; null: `sequence_length * sampling_rate`."""
    start_index: NonNegativeInt = 0
    """First row used (0-based)."""
    end_index: PositiveInt | None = None
    """End of the rows used (exclusive); null: all rows."""

    def facts(self, context: Context) -> Mapping[str, Field] | None:
        found = self.source.facts(self._inner(context))
        if found is None:
            return None
        windows = {name: replace(field, shape=self._shape(field.shape)) for name, field in found.items()}
        return {**windows, **{name + NEXT: field for name, field in found.items()}}

    def load(self, context: Context) -> Mapping[str, Table]:
        inner = self._inner(context)
        tables = self.source.load(inner)
        return {split: self._windows(table, split, context.columns) for split, table in tables.items()}

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table | None:
        table = self.source.read(path, name)
        return table and self._windows(table, name, columns)

    def _inner(self, context: Context) -> Context:
        """Return the context for the wrapped source: its own columns in place of the windows' (no `NAME_next`)."""
        if context.columns is None:
            return context
        return replace(context, columns=frozenset(name.removesuffix(NEXT) for name in context.columns))

    def _shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (self.sequence_length, *(shape or (1,)))

    def _windows(self, table: Table, split: str, wanted: frozenset[str] | None) -> Table:
        end = table.rows if self.end_index is None else min(self.end_index, table.rows)
        offset = self.sequence_length * self.sampling_rate if self.offset is None else self.offset
        names = [name for name in table if wanted is None or {name, name + NEXT} & wanted]
        ahead = wanted is None or any(name + NEXT in wanted for name in names)
        span = max((self.sequence_length - 1) * self.sampling_rate, offset if ahead else 0)
        starts = np.arange(self.start_index, end - span, self.sequence_stride)
        if not len(starts):
            text = f"'{split}' has {max(0, end - self.start_index):,} rows; a window takes {span + 1:,}"
            raise DataError(Fault(text, place=Place(table.name or self.source.component_name)))
        columns: dict[str, Values] = {}
        for name in names:
            is_text = table.column(name).dtype == object and wanted is not None and name not in wanted
            values = table.array(name) if is_text else numbers_in_memory(table, name, "windows")
            if wanted is None or name in wanted:
                windows = Windows(values, starts, self.sequence_length, self.sampling_rate)
                columns[name] = windows if is_large(len(windows) * windows.row_bytes) else windows[slice(None)]
            if wanted is None or name + NEXT in wanted:
                columns[name + NEXT] = values[starts + offset]

        def place(row: int, column: str, at: tuple[int, int]) -> Place:
            ahead = column not in table and column.endswith(NEXT)
            index, width = at
            step = index * self.sequence_length // width if width else 0
            behind = offset if ahead else step * self.sampling_rate
            return table.place(int(starts[row]) + behind, column.removesuffix(NEXT) if ahead else column)

        return Table(columns, len(starts), name=table.name, numbers=table.numbers()[starts], made_of=place)


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
