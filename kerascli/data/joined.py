"""Concatenate several tables to one, row after row."""

from collections.abc import Sequence

import numpy as np

from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import Skipped, Table
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import DataError, Fault, Place, safe_text


def joined(tables: Sequence[Table]) -> Table:
    """Concatenate the rows of tables in the columns that all have. Raises DataError if a column's shapes differ."""
    first, *others = tables
    if not others:
        return first
    names = [name for name in first if all(name in other for other in others)]
    columns = {name: _column(name, tables) for name in names}
    ends = np.cumsum([table.rows for table in tables])

    def place(row: int, column: str, at: tuple[int, int]) -> Place:
        index = int(np.searchsorted(ends, row, side="right"))
        return tables[index].place(row - int(ends[index]) + tables[index].rows, column, at)

    name = ", ".join(dict.fromkeys(table.name for table in tables))
    return Table(columns, int(ends[-1]), name=name, made_of=place, skipped=_skipped(tables))


def _skipped(tables: Sequence[Table]) -> Skipped | None:
    """Return the damaged files that were left out of tables, taken together."""
    found = [table.skipped for table in tables if table.skipped is not None]
    if not found:
        return None
    first = tuple(name for each in found for name in each.first)
    count = sum(each.count for each in found)
    return Skipped(found[0].name, count, count + sum(table.rows for table in tables), first)


def _column(name: str, tables: Sequence[Table]) -> np.ndarray:
    parts = [_in_memory(table.column(name)) for table in tables]
    ragged = any(map(is_ragged, parts))
    if not ragged and any(part.dtype == object for part in parts):  # words in one file make text of numbers in another
        parts = [table.text(name) if part.dtype != object else part for table, part in zip(tables, parts, strict=True)]
    for table, part in zip(tables, parts, strict=True):
        if part.shape[1:] != parts[0].shape[1:]:
            text = f"'{safe_text(name, 40)}' has rows of shape {part.shape[1:]}, those before of {parts[0].shape[1:]}"
            raise DataError(Fault(text, place=Place(table.name)))
    return np.concatenate(parts)


def _in_memory(values: Values) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else np.concatenate(list(values.blocks(2**16)))
