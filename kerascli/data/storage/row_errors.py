"""Rows that cannot be used: the error about them, and tables as read without them."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Self, TypeVar

import numpy as np

from kerascli.data.storage.column import Column, on_access
from kerascli.data.storage.table import Skipped, Table
from kerascli.foundation.errors import DataError, Fault, KerasCliError, safe_text

R = TypeVar("R")
Rows = Sequence[int] | np.ndarray


class BadRows(DataError):
    """Error about rows of a table that cannot be read or transformed, so that they may be skipped."""

    def __init__(self, fault: Fault | Iterable[Fault], table: Table, rows: Rows) -> None:
        """Create an error from its faults and the indices in `table` of all rows that have the first one."""
        super().__init__(fault)
        self.table, selected = table.whole()
        """Table of the whole file."""
        self.rows = np.arange(self.table.rows)[selected][rows]
        """Indices of the rows in the table of the whole file."""

    @classmethod
    def of(cls, table: Table, rows: Rows, column: str, text: str, hint: str | None = None) -> Self:
        """Return the error of rows that have the same fault in a column."""
        return cls(Fault(text, place=table.place(int(rows[0]), column), hint=hint), table, rows)


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
    except DataError:  # of a column that bad rows, which a split may put elsewhere, have made text
        if not skip:
            raise
    return prepare([_usable(table, check) for table in tables])


def _usable(table: Table, check: Callable[[Table], object]) -> Table:
    """Return a table without the rows that `check` refuses; its other errors are left to those who use the table."""
    while True:
        try:
            check(table)
            return table
        except BadRows as bad:
            table = _without(table, bad)
        except KerasCliError:
            return table


def _without(table: Table, bad: BadRows) -> Table:
    """Return a table without the rows of an error; columns of text files as if they were not there.

    Raises DataError if no row is left.
    """
    whole, rows = table.whole()
    kept, fault = np.setdiff1d(np.arange(whole.rows)[rows], bad.rows), bad.faults[0]
    if not len(kept):
        raise DataError([fault, Fault(f"all {whole.rows:,} rows of '{safe_text(whole.name)}' are bad")])
    before = () if table.skipped is None else table.skipped.first
    first = sorted([*before, (int(bad.rows.min()), f"{fault.place}: {fault.text}")])
    skipped = Skipped(whole.name, whole.rows - len(kept), whole.rows, kept, tuple(first), "rows")
    of_text = whole.columns if isinstance(whole.columns, dict) else {}
    read = {name: partial(each.reread, each, kept) for name, each in of_text.items() if isinstance(each, Column)}
    columns = {name: on_access(each) for name, each in read.items()}
    if not columns:
        return whole.take(kept, skipped)
    return Table(columns, len(kept), name=whole.name, taken=(whole, kept), skipped=skipped)
