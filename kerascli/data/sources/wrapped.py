"""Base class of sources that derive their rows from another source."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self

import numpy as np

from kerascli.data.base import SOURCES, Context, Source
from kerascli.data.pipeline.columns import is_number, not_numbers
from kerascli.data.storage.table import Table
from kerascli.errors import DataError, Fault, Place


class WrappedSource(Source):
    """Base class of sources that wrap another source and share its files and paths."""

    in_files = False

    source: Annotated[Source, SOURCES.field()]
    """Source of the rows; each of its splits is transformed on its own."""

    def files(self, context: Context) -> list[Path]:
        return self.source.files(context)

    def folders(self, context: Context) -> list[Path]:
        return self.source.folders(context)

    def _moved(self, fields: object, move: Callable[[str], str]) -> Self:
        inner = self.source._moved(self.source.paths, move)
        return self.model_copy(update={"source": inner})


def numbers_in_memory(table: Table, name: str, made: str) -> np.ndarray:
    """Return a numeric column of a table as an array in memory. Raises DataError.

    `made` names what is made from the column in the error message, in the plural: "windows".
    """
    values = table.column(name)
    if values.dtype == object:
        if isinstance(values, np.ndarray) and values.ndim == 1 and any(map(is_number, filter(None, values.tolist()))):
            raise not_numbers(table, name, values)
        text = f"column '{name}' holds no numbers; {made} need numbers"
        raise DataError(Fault(text, place=Place(table.name or "data")))
    if isinstance(values, np.ndarray):
        return values
    return np.concatenate(list(values.blocks(2**16)))
