"""Base class of data sources that derive their rows from another data source."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Self

import numpy as np

from kerascli.data.base import SOURCES, Context, Source
from kerascli.data.pipeline.columns import is_number, not_numbers
from kerascli.data.storage.on_disk import in_memory
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import DataError


class WrappedSource(Source):
    """Base class of data sources that wrap another data source and share its files and paths."""

    in_files = False

    source: Annotated[Source, SOURCES.field()]
    """Data source whose rows are used; each of its splits is transformed on its own."""

    def files(self, context: Context) -> list[Path]:
        return self.source.files(context)

    def folders(self, context: Context) -> list[Path]:
        return self.source.folders(context)

    def series_column(self) -> str | None:
        return self.source.series_column()

    def with_paths(self, change: Callable[[str], str], fields: Sequence[str] | None = None) -> Self:
        return self.model_copy(update={"source": self.source.with_paths(change)})


def values_in_memory(table: Table, name: str, made: str) -> np.ndarray:
    """Return a column of numbers or texts as an array in memory.
    Raises DataError, also if only a few of the values are not numbers.

    `made` names what is made from the column in the error message, in the plural: "windows".
    """
    values = table.column(name)
    if values.dtype == object:
        if not isinstance(values, np.ndarray) or values.ndim != 1 or is_ragged(values):
            text = f"column '{name}' holds neither numbers nor texts; {made} need one per row"
            raise DataError(text, place=table.name or "data")
        present = list(filter(None, values.tolist()))
        if len(present) / 2 < sum(map(is_number, present)) < len(present):
            raise not_numbers(table, name, values)
    return in_memory(values)
