"""Read delimited text: pyarrow parses it as text, by columns, and each column's type follows from its fields.

What is not plainly well-formed is read again by rows, which finds the error.
"""

import csv
import io
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from kerascli.data.storage.column import Column, on_access, pa, text_array
from kerascli.data.storage.delimited.row_reader import MARKS, Layout, as_utf8, read_rows
from kerascli.data.storage.delimited.text_format import DEFAULT, MAX_FIELD, TextFormat, typed
from kerascli.data.storage.row_errors import BadRows
from kerascli.data.storage.table import Table
from kerascli.foundation.cpus import cpu_limit
from kerascli.foundation.disk.files import refuse_text
from kerascli.foundation.errors import safe_text

_LINE_BYTES = 40
"""Memory of the number of a row's line, while it is computed, and of its last field, in bytes."""
_FIELD_BYTES = 16
"""Memory of a field as text and as a number, without its characters, in bytes."""
_COLUMN_BYTES = 2048
"""Memory of a column beside its fields, in bytes; pyarrow takes 512 of them for each 4 MiB of text."""

Fields = Mapping[str, "pa.ChunkedArray[Any]"]
"""Mapping from column to its fields, null where they are missing."""


def read_csv(
    data: bytes, name: str, form: TextFormat = DEFAULT, columns: frozenset[str] | None = None, packed: int | None = None
) -> Table:
    """Parse delimited text to a table. Raises DataError with the line of the first error, FileRefused.

    `columns` are those in use (None: all); others are converted only on access. `packed` is the size of the file if it
    is compressed.
    """
    packed = len(data) if packed is None else packed
    text, start = as_utf8(data, name, form), 0
    for _ in range(form.skip_rows):
        start = text.find(b"\n", start) + 1 or len(text)
    text = text[start:]
    header = text.find(b"\n") + 1
    field_bytes = _FIELD_BYTES + header // 2**13 + _COLUMN_BYTES * header // max(1, len(text))
    refuse_text(text, {"\n": _LINE_BYTES, form.delimiter: field_bytes}, packed, name)
    table = _read(text, name, form, columns)
    if table is None:
        names, rows, lines, wrong = read_rows(text, name, form, packed)
        fields = zip(names, zip(*rows, strict=True), strict=True)
        columns_of_text = {each: text_array(texts, ("", *form.na_values)) for each, texts in fields}
        table = Table(_typed(columns_of_text, form), len(rows), name=name, lines=lines)
        if wrong is not None:
            raise BadRows(wrong[0], table, wrong[1])
    _check_dtypes(form, table)
    return table


def _typed(fields: Fields, form: TextFormat) -> dict[str, Column]:
    """Return columns of delimited text, by name, with the numbers or booleans that their fields denote."""

    with ThreadPoolExecutor(cpu_limit().count) as pool:
        return dict(zip(fields, pool.map(lambda name: _column(name, fields[name], form), fields), strict=True))


def _column(name: str, fields: "pa.ChunkedArray[Any]", form: TextFormat) -> Column:
    """Return a column of delimited text with the numbers or booleans that its fields denote."""
    column = Column.of(fields, typed(fields, form, form.dtypes.get(name)))
    column.reread = lambda whole, rows: _column(name, text_array(whole.texts.take(rows).rows().tolist()), form)
    column.is_number = lambda text: form.plain(text) is not None
    return column


def _read(text: bytes, name: str, form: TextFormat, columns: frozenset[str] | None) -> Table | None:
    """Parse delimited text with pyarrow; return None if Python's csv module has to read it, or to find its error."""
    layout = Layout.of(text, form)
    if layout is None or not _are_names(names := form.names or _first_row(layout, form)):
        return None
    used = names if columns is None else [each for each in names if each in columns] or names[:1]
    read = partial(_parsed, layout, names, form)
    try:
        fields = read(used)
    except pa.ArrowInvalid:
        return None
    rows, header = len(fields[used[0]]), 0 if form.names else 1
    if not rows or (lines := layout.lines(rows + header)) is None:
        return None
    found = {n: on_access(lambda n=n: _typed(read([n]), form)[n]) for n in names if n not in fields}
    found |= _typed(fields, form)
    columns_of = {each: found[each] for each in names}
    return Table(columns_of, rows, name=name, lines=lambda: lines()[header:] + form.skip_rows)


def _parsed(layout: Layout, names: Sequence[str], form: TextFormat, chosen: Sequence[str]) -> Fields:
    """Parse columns of delimited text, of which all names are `names`, as text."""
    from pyarrow import csv as arrow_csv

    string = pa.string()
    read = arrow_csv.ReadOptions(column_names=list(names), block_size=4 * MAX_FIELD)
    quote, has_quoted_ends = '"' if form.quotes else False, layout.has_quoted_ends
    parse = arrow_csv.ParseOptions(delimiter=form.delimiter, quote_char=quote, newlines_in_values=has_quoted_ends)
    convert = arrow_csv.ConvertOptions(
        check_utf8=False, include_columns=chosen, column_types=dict.fromkeys(chosen, string),
        null_values=["", *form.na_values], strings_can_be_null=True,
    )  # fmt: skip
    table = arrow_csv.read_csv(pa.py_buffer(layout.text), read, parse, convert)
    table = table if form.names else table.slice(1)
    return {name: table[name] for name in chosen}


def _are_names(names: Sequence[str]) -> bool:
    """Return True for column names that are plainly fit: all different, not in one column by mistake."""
    return 0 < len(names) == len(set(names)) and not (len(names) == 1 and set(MARKS) & set(names[0]))


def _first_row(layout: Layout, form: TextFormat) -> tuple[str, ...]:
    """Return the fields of the first row, as Python's csv module reads them; none if it refuses them."""
    start = bytes(layout.text[: 2 * MAX_FIELD]).decode(errors="ignore")
    csv.field_size_limit(MAX_FIELD)
    with suppress(csv.Error):
        return next((tuple(row) for row in form.reader(io.StringIO(start, newline="")) if row), ())
    return ()


def _check_dtypes(form: TextFormat, table: Table) -> None:
    """Raise DataError for text in a column with dtype `number`."""
    for column, dtype in form.dtypes.items():
        if column in table and dtype == "number" and table.like(column).dtype == object:
            words = table.text(column).tolist()
            wrong = [row for row, word in enumerate(words) if word and form.plain(word) is None]
            if not wrong:  # but an integer of too many digits
                fields, ends = text_array(words), range(1, len(words) + 1)
                wrong = [bisect_left(ends, True, key=lambda end: typed(fields.slice(0, end), form, dtype) is None)]
            text = f"'{safe_text(words[wrong[0]], 40)}' is not a number, as dtypes says of this column"
            raise BadRows.of(table, wrong, column, text)
