"""Column of the data before preprocessing, with a selection of rows; values are copied only on request."""

from dataclasses import dataclass

import numpy as np

from kerascli.data.storage.on_disk import Rows, compose_rows, count
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import is_ragged


@dataclass(frozen=True, slots=True)
class Raw:
    """Column before preprocessing: the whole array, and which of its rows are selected (the rows of a split, or
    fewer)."""

    whole: np.ndarray
    rows: Rows

    @classmethod
    def of(cls, table: Table, column: str) -> "Raw | None":
        """Return a column of a table in memory; None if the table has no such column, or the column stays on disk."""
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
        """Number of values in each row of the column; a sequence of variable length counts as one."""
        return self.whole.size // max(1, len(self.whole))

    @property
    def is_ragged(self) -> bool:
        return is_ragged(self.whole)

    def take(self, places: Rows) -> "Raw":
        """Return a column with fewer selected rows; `places` are their positions among the rows selected so far."""
        return Raw(self.whole, compose_rows(self.rows, places))

    def array(self) -> np.ndarray:
        """Return the selected rows of the column as an array."""
        return self.whole[self.rows]

    def feature(self, index: int) -> np.ndarray:
        """Return the values (rows,) at one position of the rows; `index` is the position in the flattened row."""
        return self.whole.reshape(len(self.whole), -1)[:, index][self.rows]
