"""Parse delimited text to typed columns, with errors that name the line.

Large files are parsed by columns; what is refused there is parsed here again by rows, which finds the error.
"""

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np

from kerascli.data.storage.delimited.large_text import read_large
from kerascli.data.storage.table import COMMENT, Table
from kerascli.data.storage.text_columns import DEFAULT, MAX_FIELD, TextColumns, TextFormat, numbers_of
from kerascli.foundation.disk.files import OBJECT_BYTES, refuse_text
from kerascli.foundation.errors import DataError, Place, safe_text, suggestion

LARGE_BYTES = 2**20
"""Size in bytes from which a file is parsed by columns: importing pyarrow takes longer than parsing a smaller one."""
_FIELD_BYTES = OBJECT_BYTES + 16
"""Memory in bytes of a field, as a string that rows and columns refer to."""
_MARKS = {"\n": 96 + _FIELD_BYTES, "\r": 96 + _FIELD_BYTES}
"""Memory in bytes of a row, as a list, by the character that ends it; with that of its last field."""


def read_csv(
    data: bytes,
    name: str,
    form: TextFormat = DEFAULT,
    columns: frozenset[str] | None = None,
    packed: int | None = None,
) -> Table:
    """Parse delimited text to a table. Raises DataError with the line of the first error, FileRefused.

    `columns` are those in use (None: all); others are converted only on access. `packed` is the size of the file if it
    is compressed.
    """
    packed = len(data) if packed is None else packed
    table = read_large(data, name, form, columns, packed) if len(data) >= LARGE_BYTES else None
    if table is None:
        return _read(data, name, form, packed)
    assert isinstance(table.columns, TextColumns)
    _check_dtypes(table.columns, form, table)
    return table


def _read(data: bytes, name: str, form: TextFormat, packed: int) -> Table:
    text = _decode(data, name, form.encoding, form.delimiter)
    refuse_text(text, {**_MARKS, form.delimiter: _FIELD_BYTES}, packed, name)
    for _ in range(form.skip_rows):
        text = text.partition("\n")[2]
    rows, lines = _rows(text, name, form)
    if not rows:
        raise DataError("the file is empty", place=Place(name, 1))
    names = form.names or tuple(rows[0])
    _check_names(names, name, form.delimiter, int(lines[0]))
    if not form.names:
        lines, rows = lines[1:], rows[1:]
    if not rows:
        raise DataError("a header but no rows", place=name)
    _check_widths(rows, lines, names, name)
    columns = {column: form.present(fields) for column, fields in zip(names, zip(*rows, strict=True), strict=True)}
    found = TextColumns(columns, form)
    table = Table(found, len(rows), name=name, numbers=lines)
    _check_dtypes(found, form, table)
    return table


def _check_dtypes(columns: TextColumns, form: TextFormat, table: Table) -> None:
    """Raise DataError for text in a column with dtype `number`, and for `dtypes` of a column that does not exist."""
    for column, dtype in form.dtypes.items():
        if column not in columns:
            text = f"dtypes: there is no column '{safe_text(column, 40)}'{suggestion(column, columns)}"
            raise DataError(text, place=Place(table.name, int(table.numbers()[0]) - 1))
        if dtype == "number" and columns.is_text(column):
            fields = columns.text(column).tolist()
            row = next((row for row, each in enumerate(fields) if not _is_number(each, form)), 0)
            text = f"'{safe_text(fields[row], 40)}' is not a number, as dtypes says of this column"
            raise DataError(text, place=table.place(row, column))


def _is_number(text: str, form: TextFormat) -> bool:
    plain = form.plain_numbers([text])
    return plain is not None and numbers_of(plain) is not None


_MAGIC = {b"PK\x03\x04": "a zip archive (npz, xlsx)", b"\x1f\x8b": "gzip", b"PAR1": "parquet", b"\x93NUMPY": "npy",
          b"\x89HDF": "HDF5", b"\x80": "a pickle"}  # fmt: skip


def _decode(data: bytes, name: str, encoding: str, delimiter: str) -> str:
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            raise DataError(f"this is {kind}, not delimited text", place=name)
    if encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
        encoding = "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        before = data[start : error.start].decode("latin-1")
        column = _column_at(data.split(b"\n", 1)[0].decode(encoding, errors="replace"), before, delimiter)
        message = f"byte {data[error.start]:#04x}{f' in {column}' if column else ''}"
        text = f"not {encoding.removesuffix('-sig').upper()} ({message})"
        place = Place(name, data.count(b"\n", 0, error.start) + 1)
        raise DataError(text, place=place, hint="set 'encoding' of the source, for example latin-1") from None
    if "\0" in text:
        at = text.index("\0")
        column = _column_at(text.split("\n", 1)[0], text[text.rfind("\n", 0, at) + 1 : at], delimiter)
        message = f"a zero byte in the text{f' (in {column})' if column else ''}"
        raise DataError(message, place=Place(name, text.count("\n", 0, at) + 1))
    return text


def _column_at(header: str, before: str, delimiter: str) -> str:
    """Return the text `column 'age'` for the field that follows `before` (the beginning of a line); '' if the header
    has no name for it."""
    names = header.rstrip("\r").split(delimiter)
    position = len(before.split(delimiter)) - 1
    return f"column '{safe_text(names[position], 40)}'" if position < len(names) else ""


def _rows(text: str, name: str, form: TextFormat) -> tuple[list[list[str]], np.ndarray]:
    """Return the rows of delimited text, without blank lines and comments, and the line numbers at which they begin."""
    csv.field_size_limit(MAX_FIELD)
    source = _Lines(text, form.comment)
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        for row in form.reader(source):
            if row:
                lines.append(source.first)
                rows.append(row)
            source.begins = True
    except csv.Error as error:
        raise _fault(str(error), name, source.first + form.skip_rows) from None
    return rows, np.array(lines, np.int64) + form.skip_rows


def _fault(reason: str, name: str, line: int) -> DataError:
    """Return the error for a row that Python's csv module cannot read, which begins on a line."""
    text, hint = reason, None
    if "unexpected end of data" in reason:
        text, hint = "a quote opened here is never closed", _NO_QUOTES
    elif "field larger" in reason:
        text = f"a field of more than {MAX_FIELD:,} characters"
    elif "expected after" in reason:
        text, hint = "text after a closing quote; a quote inside quotes is written twice", _NO_QUOTES
    return DataError(text, place=Place(name, line), hint=hint)


_NO_QUOTES = "if quotes in this file are characters like any other, set 'quotes: false' of the source"


class _Lines:
    """Iterator over a text's lines that skips comments, but only where a row may begin: not within quotes."""

    def __init__(self, text: str, comment: str) -> None:
        self._lines = enumerate(io.StringIO(text, newline=""), 1)
        self._comment = comment
        self.begins = True
        self.first = 1
        """Number of the line on which the most recently read row began."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for number, line in self._lines:
            if self.begins and self._comment and line.startswith(self._comment):
                continue
            if self.begins:
                self.begins, self.first = False, number
            return line
        raise StopIteration


def _check_names(names: tuple[str, ...], name: str, delimiter: str, line: int) -> None:
    other = next((mark for mark in ";\t|," if mark in names[0]), None)
    if len(names) == 1 and other and other != delimiter:
        text = f"a single column '{safe_text(names[0], 40)}'"
        hint = COMMENT if names[0].startswith("#") else f"set 'delimiter' of the source to '{safe_text(other)}'"
        raise DataError(text, place=Place(name, line), hint=hint)
    seen: dict[str, int] = {}
    for position, column in enumerate(names, 1):
        if column in seen:
            text = f"column '{safe_text(column, 40)}' appears twice (columns {seen[column]} and {position})"
            raise DataError(text, place=Place(name, line))
        seen[column] = position


def _check_widths(rows: list[list[str]], lines: np.ndarray, names: Sequence[str], name: str) -> None:
    widths = np.fromiter(map(len, rows), np.int64, len(rows))
    wrong = np.flatnonzero(widths != len(names))
    if len(wrong):
        row = int(wrong[0])
        count = int(widths[row])
        fields = "1 field" if count == 1 else f"{count} fields"
        hint = next((COMMENT for line in (names, rows[row]) if line and line[0].startswith("#")), None)
        raise DataError(f"{fields}, the header has {len(names)}", place=Place(name, int(lines[row])), hint=hint)
