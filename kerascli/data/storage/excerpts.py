"""Excerpts in errors about the lines of a text file: the line, and the place of a value in it."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache

from kerascli.data.storage.bad_rows import BadRows
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import DataError, Fault, Place

_LINE_END = re.compile(r"\r\n|\n|(?<=\r)(?!\n)")
"""Pattern of the end of a line; a CR that no LF follows stays with its line."""
_LONE_CR = "a CR alone (\\r, as old Macs end lines) ends this line: remove it, for instance by tr -d '\\r'"
_ODD_QUOTES = "the line has an odd number of double quotes: one of them may be missing"

Cell = Callable[[Sequence[str], str], str]
"""Function from a table's columns and one of them to the pattern of a line, in which group 1 is the column's value."""


def read_shown(parse: Callable[[], Table], text: Callable[[], bytes], encoding: str, cell: Cell) -> Table:
    """Return the table that `parse` returns; errors about it, its own and later ones, show the lines of `text`."""

    @cache
    def lines() -> list[str]:
        return _LINE_END.split(text().decode(encoding, "replace"))

    def shown(place: Place, columns: Sequence[str]) -> Place:
        with suppress(DataError, IndexError, TypeError):  # the file is gone, or the place is no line
            source = lines()[place.line - 1]
            found = re.match(cell(columns, place.name), source) if place.name else None
            column, length = (None, 1) if found is None else (found.start(1) + 1, len(found[1]))
            return replace(place, source=source, column=column, length=length)
        return place

    try:
        table = parse()
    except DataError as error:
        columns = list(error.table) if isinstance(error, BadRows) else []
        error.faults = tuple(_explained(replace(f, place=f.place and shown(f.place, columns))) for f in error.faults)
        if isinstance(error, BadRows):
            error.table.excerpt = shown
        raise
    table.excerpt = shown
    return table


def _explained(fault: Fault) -> Fault:
    """Return an error of a line with a hint at what is usual to be wrong with one."""
    source = fault.place.source if fault.place is not None else ""
    suspect = _LONE_CR if source.endswith("\r") else _ODD_QUOTES if source.count('"') % 2 else None
    return replace(fault, hint=fault.hint or suspect)
