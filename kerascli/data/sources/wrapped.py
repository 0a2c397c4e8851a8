"""Base class of data sources that derive their rows from another data source."""

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np

from kerascli.data.base import SOURCES, Context, Source, Tables
from kerascli.data.pipeline.columns import not_numbers
from kerascli.data.storage.column import is_number
from kerascli.data.storage.on_disk import Direct, Rows, Values, in_memory, is_large
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import ConfigError


class WrappedSource(Source):
    """Base class of data sources that wrap another data source and share its files and paths."""

    in_files = False

    source: Annotated[Source, SOURCES.field()]
    """Data source whose rows are used; each of its splits is transformed on its own."""

    def inner_tables(self, context: Context) -> Tables:
        """Load the rows of the wrapped source, with the files that they name."""
        if self.source.skips_bad_rows():
            text = f"on_bad_rows: skip would leave gaps in the rows that {self.component_name} puts together"
            raise ConfigError(text, path=("data", "source"))
        context = self.inner_context(context)
        return {name: self.source.open_files(table, context) for name, table in self.source.load(context).items()}

    def inner_context(self, context: Context) -> Context:
        """Return the environment (`Context`) in which to load the wrapped source; it names that source's columns."""
        return context if context.columns is None else replace(context, columns=self.row_columns(context.columns))

    @abstractmethod
    def row_columns(self, columns: frozenset[str]) -> frozenset[str]:
        """Return the names of the wrapped source's columns that the given columns of this source are made of."""

    def data_files(self, context: Context) -> list[Path]:
        return self.source.data_files(context)

    def digests(self, context: Context) -> dict[str, str]:
        return self.source.digests(context)

    def folders(self, context: Context) -> list[Path]:
        return self.source.folders(context)

    def series_column(self) -> str | None:
        return self.source.series_column()


def values_in_memory(table: Table, name: str, made: str) -> np.ndarray:
    """Return a column of numbers or texts as an array in memory.
    Raises DataError, also if only a few of the values are not numbers.

    `made` names what is made from the column in the error message, in the plural: "windows".
    """
    values = table.column(name)
    if values.dtype == object:
        if not isinstance(values, np.ndarray) or values.ndim != 1 or is_ragged(values):
            raise table.fault(f"column '{name}' holds neither numbers nor texts; {made} need one per row")
        present = list(filter(None, values.tolist()))
        if len(present) / 2 < sum(map(is_number, present)) < len(present):
            raise not_numbers(table, name, values)
    return in_memory(values)


def gathered(values: np.ndarray, rows: np.ndarray, steps: np.ndarray | int = 0) -> Values:
    """Return selected rows of an array, or a window of rows for each: in memory, or gathered on access if too large.

    `steps` are the rows of a window, counted from the first; windows hold an axis of values for each step.
    """
    column = Gathered(values[:, None] if np.ndim(steps) and values.ndim == 1 else values, rows, np.asarray(steps))
    return column if is_large(len(column) * column.row_bytes) else column[slice(None)]


class Gathered(Direct):
    """Column of selected rows of an array, or of windows of rows; what is selected several times is stored once."""

    def __init__(self, values: np.ndarray, rows: np.ndarray, steps: np.ndarray) -> None:
        super().__init__(len(rows), steps.shape + values.shape[1:], values.dtype, values[:1].nbytes * steps.size)
        self._values = values
        self._first = rows
        self._steps = steps

    def _read(self, rows: Rows) -> np.ndarray:
        return self._values[np.add.outer(self._first[rows], self._steps)]

    def at(self, steps: int | list[int]) -> np.ndarray:
        """Return the value of each window at a time step (rows,), or at several (rows, steps); windows must hold one
        value per time step."""
        return self._values[np.add.outer(self._first[self._rows], self._steps[steps]), 0]
