"""Excerpts in errors about the lines of a text file: the line, and the place of a value in it."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache

from kerascli.data.storage.row_errors.bad_rows import BadRows
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import DataError, Fault, KerasCliError, Place

_LINE_END = re.compile(r"\r\n|\n|(?<=\r)(?!\n)")
"""Pattern of the end of a line; a CR that no LF follows stays with its line."""
_LONE_CR = "a CR alone (\\r, as old Macs end lines) ends this line: remove it, for instance by tr -d '\\r'"
_ODD_QUOTES = "the line has an odd number of double quotes: one of them may be missing"


def read_shown(
    parse: Callable[[], Table], text: Callable[[], bytes], encoding: str = "utf-8", delimiter: str | None = None
) -> Table:
    """Return the table that `parse` returns; errors about it, its own and later ones, show the lines of `text`.

    The lines are delimited text or (`delimiter` None) JSON.
    """
    lines = cache(lambda: _LINE_END.split(text().decode(encoding, "replace")))

    def shown(place: Place, columns: Sequence[str]) -> Place:
        with suppress(KerasCliError, IndexError):  # the file is gone
            source = lines()[(place.line or 0) - 1]
            found = re.match(_cell(place.name, columns, delimiter), source) if place.name in columns else None
            column, length = (None, 1) if found is None else (found.start(1) + 1, len(found[1]))
            return replace(place, source=source, column=column, length=length)
        return place

    try:
        table = parse()
    except DataError as error:
        table = error.table if isinstance(error, BadRows) else Table({}, 0)
        table.excerpt = shown
        error.faults = tuple(_explained(fault, shown, list(table)) for fault in error.faults)
        raise
    table.excerpt = shown
    return table


def _explained(fault: Fault, shown: Callable[[Place, Sequence[str]], Place], columns: Sequence[str]) -> Fault:
    """Return an error with its line, if it has one, and a hint at what is usual to be wrong with a line."""
    if fault.place is None or fault.place.line is None:
        return fault
    place = shown(fault.place, columns)
    suspect = _LONE_CR if place.source.endswith("\r") else _ODD_QUOTES if place.source.count('"') % 2 else None
    return replace(fault, place=place, hint=fault.hint or suspect)


def _cell(name: str, columns: Sequence[str], delimiter: str | None) -> str:
    """Return the pattern of a line, in which group 1 is the value of a column."""
    if delimiter is None:
        return rf'.*?{re.escape(json.dumps(name, ensure_ascii=False))}\s*:\s*("(?:[^"\\]|\\.)*"|[^,}}]*)'
    field = rf'(?:"(?:[^"]|"")*"|[^{re.escape(delimiter)}]*)'
    return rf"(?:{field}{re.escape(delimiter)}){{{columns.index(name)}}}({field})"
