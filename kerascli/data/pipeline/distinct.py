"""Rows of a pipeline without repetitions: equal texts are transformed once, since transforms treat rows one by one."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from kerascli.data.base import Field
from kerascli.data.pipeline.columns import read_columns
from kerascli.data.pipeline.named_pipeline import NamedPipeline
from kerascli.data.storage.coded import Coded
from kerascli.data.storage.table import Table


@dataclass(frozen=True, slots=True)
class DistinctRows:
    """Rows of a pipeline's columns, before or after some steps; of a text column, each distinct text only once."""

    values: np.ndarray
    whole: Table
    coded: Coded | None = None
    """Distinct texts of the column, and each table row's index among them; None if `values` has all rows."""

    @property
    def table(self) -> Table:
        """Table with a row for each row of a pipeline's input (for a distinct text, its first row), to name lines in
        error messages."""
        return self.whole if self.coded is None else self.whole.take(self.coded.firsts())

    @classmethod
    def read(cls, named: NamedPipeline, table: Table, field: Field) -> Self:
        """Read a pipeline's columns, which are in memory, with the shape and dtype of `field`. Raises DataError."""
        if field.is_text and not field.shape and not field.columns and not named.pipeline.stacked:
            coded = table.coded(named.pipeline.columns[0])
            if coded is not None and 2 * len(coded.words) <= len(coded.codes):
                return cls(coded.words, table, coded)
        return cls(read_columns(named, table, field), table)

    def having(self, values: np.ndarray) -> "DistinctRows":
        """Return a copy of the rows with other `values`: the output of a pipeline step for the same rows."""
        return replace(self, values=values)

    def all(self) -> np.ndarray:
        """Return the values of all rows of the original table: a distinct text is repeated for each row that has it."""
        return self.values if self.coded is None else self.values[self.coded.codes]

    def counts(self) -> np.ndarray | None:
        """Return how many rows of the original table each row of `values` stands for; None if each stands for one."""
        return None if self.coded is None else self.coded.counts()
