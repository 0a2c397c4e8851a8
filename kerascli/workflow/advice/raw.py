"""A raw column in memory with a selection of rows; data is copied only when it is asked for."""

from dataclasses import dataclass

import numpy as np

from kerascli.data.storage.on_disk import Rows, compose_rows, count
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import is_ragged


@dataclass(frozen=True, slots=True)
class Raw:
    """A raw column of a split: an array and the split's rows in it; those of a random split are scattered over it."""

    whole: np.ndarray
    rows: Rows

    @classmethod
    def of(cls, table: Table, column: str) -> "Raw | None":
        """Return a column of a table; None if it does not exist or is left on disk."""
        whole, rows = table.whole()
        values = whole.get(column)
        return cls(values, rows) if isinstance(values, np.ndarray) else None

    def __len__(self) -> int:
        return count(self.rows)

    @property
    def ndim(self) -> int:
        return self.whole.ndim

    @property
    def width(self) -> int:
        """Number of values in a row; a ragged sequence counts as one."""
        return self.whole.size // max(1, len(self.whole))

    @property
    def is_ragged(self) -> bool:
        return is_ragged(self.whole)

    def take(self, places: Rows) -> "Raw":
        """Return the column with fewer rows; `places` are their positions among the selected rows."""
        return Raw(self.whole, compose_rows(self.rows, places))

    def array(self) -> np.ndarray:
        """Return the selected rows of the column as an array."""
        return self.whole[self.rows]

    def feature(self, index: int) -> np.ndarray:
        """Return the value at `index` of each flattened row of an array column: shape (rows,)."""
        return self.whole.reshape(len(self.whole), -1)[:, index][self.rows]
