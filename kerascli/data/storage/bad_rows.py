"""Rows that cannot be used: the error about them, and tables as they are read without them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from kerascli.data.storage.column import Column
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import Skipped, Table
from kerascli.foundation.errors import DataError, Fault, KerasCliError, safe_text

R = TypeVar("R")


class BadRows(DataError):
    """Error about rows of a table that cannot be read or transformed, so that they may be skipped."""

    def __init__(self, fault: Fault | Iterable[Fault], table: Table, rows: Sequence[int] | np.ndarray) -> None:
        """Create an error from its faults and the indices in `table` of all rows that have the first one."""
        super().__init__(fault)
        self.table, selected = table.whole()
        """Table of the whole file."""
        self.rows = np.arange(self.table.rows)[selected][rows]
        """Indices of the rows in the table of the whole file."""


def read_table(read: Callable[[], Table], *, skip: bool) -> Table:
    """Return the table that `read` returns; if `skip`, without the rows that it refuses. Raises DataError."""
    try:
        return read()
    except BadRows as bad:
        if skip:
            return _without(bad.table, bad)
        raise


def skipping(
    tables: Sequence[Table], prepare: Callable[[Sequence[Table]], R], check: Callable[[Table], object], *, skip: bool
) -> R:
    """Return what `prepare` makes of tables; if it refuses rows, and `skip`, of tables without the bad rows.

    `check` is called with each table until it refuses no more rows. Raises DataError, also if none is left.
    """
    try:
        return prepare(tables)
    except BadRows:
        if not skip:
            raise
    return prepare([_usable(table, check) for table in tables])


def _usable(table: Table, check: Callable[[Table], object]) -> Table:
    """Return a table without the rows that `check` refuses; its other errors are left to those who use the table."""
    while True:
        try:
            check(table)
        except BadRows as bad:
            table = _without(table, bad)
        except KerasCliError:
            return table
        else:
            return table


def _without(table: Table, bad: BadRows) -> Table:
    """Return a table as its file would be read without the rows of an error. Raises DataError if none is left."""
    whole, rows = table.whole()
    assert bad.table is whole, "the rows are those of another table"
    kept, fault = np.setdiff1d(np.arange(whole.rows)[rows], bad.rows), bad.faults[0]
    if not len(kept):
        raise DataError([fault, Fault(f"all {whole.rows:,} rows of '{safe_text(whole.name)}' are bad")])
    before = () if table.skipped is None else table.skipped.first
    first = sorted([*before, (int(bad.rows.min()), f"{fault.place}: {fault.text}")])
    skipped = Skipped(whole.name, whole.rows - len(kept), whole.rows, kept, tuple(first), "rows")
    return Table(_kept(whole.columns, kept), len(kept), name=whole.name, taken=(whole, kept), skipped=skipped)


def _kept(columns: Mapping[str, Values | Column], rows: np.ndarray) -> Mapping[str, Values | Column]:
    """Return columns as their file would be read if it had the selected rows alone."""
    if (of_file := getattr(columns, "kept", None)) is not None:
        return of_file(rows)
    each = columns.items()
    return {name: values[rows] if isinstance(values, np.ndarray) else values.kept(rows) for name, values in each}
