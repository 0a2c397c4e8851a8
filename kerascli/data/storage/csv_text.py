"""Parse delimited text to typed columns, with errors that name the line.

A column is integers, floats or text. Only an empty field is a missing value, so that 'NA' (Namibia) and 'None' stay
text. Columns are converted on access.
"""

import contextlib
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import numpy as np

from kerascli.data.storage.table import Table
from kerascli.data.storage.text_format import TextFormat
from kerascli.errors import DataError, Fault, Place, safe_text, suggestion

DEFAULT = TextFormat()
MAX_FIELD = 2**20
"""Maximum number of characters of a field."""

INEXACT = "has too many digits for a number (64-bit integers; up to 2**53 beside missing values and fractions)"
"""Error message about an integer with too many digits for any number type, which stays text."""


class TextColumns(Mapping[str, np.ndarray]):
    """Columns of delimited text by name, as numbers if every nonempty field of a column is a number, else as text."""

    def __init__(self, fields: dict[str, Sequence[str]], form: TextFormat = DEFAULT) -> None:
        self._fields = fields
        self._form = form
        self._typed: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._typed:
            plain = None if self._form.dtypes.get(name) == "text" else self._form.plain_numbers(self._fields[name])
            numbers = None if plain is None else numbers_of(plain)
            self._typed[name] = self.text(name) if numbers is None else numbers
        return self._typed[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def text(self, name: str) -> np.ndarray:
        """Return the fields of a column verbatim, as text."""
        out = np.empty(len(self._fields[name]), object)
        out[:] = self._fields[name]
        return out


def read_csv(data: bytes, name: str, form: TextFormat = DEFAULT) -> Table:
    """Parse delimited text to a table. Raises DataError with the line of the first error."""
    text = _decode(data, name, form.encoding, form.delimiter)
    for _ in range(form.skip_rows):
        text = text.partition("\n")[2]
    rows, lines = _rows(text, name, form)
    if not rows:
        raise DataError(Fault("the file is empty", place=Place(name, 1)))
    names = form.names or tuple(rows[0])
    _check_names(names, name, form.delimiter, int(lines[0]))
    if not form.names:
        lines, rows = lines[1:], rows[1:]
    if not rows:
        raise DataError(Fault("a header but no rows", place=Place(name)))
    _check_widths(rows, lines, len(names), name)
    columns = {column: form.present(fields) for column, fields in zip(names, zip(*rows, strict=True), strict=True)}
    found = TextColumns(columns, form)
    _check_dtypes(found, form, lines, name)
    return Table(found, len(rows), name=name, numbers=lines)


def _check_dtypes(columns: TextColumns, form: TextFormat, lines: np.ndarray, name: str) -> None:
    """Raise DataError for text in a column with dtype `number`, and for `dtypes` of a column that does not exist."""
    for column, dtype in form.dtypes.items():
        if column not in columns:
            text = f"dtypes: there is no column '{safe_text(column, 40)}'{suggestion(column, columns)}"
            raise DataError(Fault(text, place=Place(name, int(lines[0]) - 1)))
        if dtype == "number" and columns[column].dtype == object:
            fields = columns.text(column).tolist()
            row = next((row for row, each in enumerate(fields) if not _is_number(each, form)), 0)
            text = f"'{safe_text(fields[row], 40)}' is not a number, as dtypes says of this column"
            raise DataError(Fault(text, place=Place(f"{name}:{lines[row]}:{column}")))


def _is_number(text: str, form: TextFormat) -> bool:
    plain = form.plain_numbers([text])
    return plain is not None and numbers_of(plain) is not None


def numbers_of(fields: Sequence[str]) -> np.ndarray | None:
    """Parse a column's fields to int64 or uint64 if all are integers, else to float64 with nan for empty fields.

    Returns None if some fields are text. Integers that these dtypes do not represent exactly count as text, so that
    ids are kept.
    """
    whole = _whole(fields)
    if whole is not None:
        return None if "_" in "".join(fields) else whole
    try:
        values = np.array([float(field) if field else np.nan for field in fields])
    except ValueError:
        return None
    empty = sum(not field for field in fields)
    finite = int(np.isfinite(values).sum()) == len(fields) - empty  # false for fields such as 'nan' or 'inf'
    return values if finite and "_" not in "".join(fields) and first_inexact(fields, values) is None else None


def _whole(fields: Sequence[str]) -> np.ndarray | None:
    try:
        numbers = list(map(int, fields))
    except ValueError:
        return None
    for dtype in (np.int64, np.uint64):
        with contextlib.suppress(OverflowError):
            return np.array(numbers, dtype)
    return None


def first_inexact(fields: Sequence[str], values: np.ndarray) -> int | None:
    """Return the row of the first field that is an integer but differs from its float in `values`, or None."""
    for row in np.flatnonzero(np.abs(values) >= 2**53).tolist():
        with contextlib.suppress(ValueError):  # '1e300' is not an integer literal
            if int(fields[row]) != int(values[row]):
                return row
    return None


_MAGIC = {b"PK\x03\x04": "a zip archive (npz, xlsx)", b"\x1f\x8b": "gzip", b"PAR1": "parquet", b"\x93NUMPY": "npy",
          b"\x89HDF": "HDF5", b"\x80": "a pickle"}  # fmt: skip


def _decode(data: bytes, name: str, encoding: str, delimiter: str) -> str:
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            raise DataError(Fault(f"this is {kind}, not delimited text", place=Place(name)))
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
        raise DataError(Fault(text, place=place, hint="set 'encoding' of the source, for example latin-1")) from None
    if "\0" in text:
        at = text.index("\0")
        column = _column_at(text.split("\n", 1)[0], text[text.rfind("\n", 0, at) + 1 : at], delimiter)
        message = f"a zero byte in the text{f' (in {column})' if column else ''}"
        raise DataError(Fault(message, place=Place(name, text.count("\n", 0, at) + 1)))
    return text


def _column_at(header: str, before: str, delimiter: str) -> str:
    """Return the name, for a message, of the column that comes after the text `before` in a line, or ''."""
    names = header.rstrip("\r").split(delimiter)
    position = len(before.split(delimiter)) - 1
    return f"column '{safe_text(names[position], 40)}'" if position < len(names) else ""


def _rows(text: str, name: str, form: TextFormat) -> tuple[list[list[str]], np.ndarray]:
    """Return the rows of delimited text, without blank lines and comments, and the lines on which they begin."""
    csv.field_size_limit(MAX_FIELD)
    try:
        rows = list(form.reader(io.StringIO(text, newline=""))) if not form.comment else []
    except csv.Error as error:
        _refuse(text, name, form, str(error))
    lines = np.arange(1, len(rows) + 1)
    if form.comment or text.count("\n") + (not text.endswith("\n")) != len(rows) or not all(rows):
        lines, rows = _lines(text, name, form)
    return rows, lines + form.skip_rows


def _refuse(text: str, name: str, form: TextFormat, reason: str) -> NoReturn:
    """Raise DataError with the line on which the row begins that the csv module could not read."""
    source, hint = _Lines(text, form.comment), None
    with contextlib.suppress(csv.Error):
        for _ in form.reader(source):
            source.begins = True
    line = source.first + form.skip_rows
    match reason:
        case _ if "unexpected end of data" in reason:
            fault, hint = "a quote opened here is never closed", _NO_QUOTES
        case _ if "field larger" in reason:
            fault = f"a field of more than {MAX_FIELD:,} characters"
        case _ if "expected after" in reason:
            fault, hint = "text after a closing quote; a quote inside quotes is written twice", _NO_QUOTES
        case _:
            fault = reason
    raise DataError(Fault(fault, place=Place(name, line), hint=hint))


_NO_QUOTES = "if quotes in this file are characters like any other, set 'quotes: false' of the source"


def _lines(text: str, name: str, form: TextFormat) -> tuple[np.ndarray, list[list[str]]]:
    """Return the lines on which rows begin, and the rows; some lines are blank or comments, some rows take several."""
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
        _refuse(text, name, form, str(error))
    return np.array(lines, np.int64), rows


class _Lines:
    """Iterator over a text's lines that skips comments, but only where a row may begin: not within quotes."""

    def __init__(self, text: str, comment: str) -> None:
        self._lines = enumerate(io.StringIO(text, newline=""), 1)
        self._comment = comment
        self.begins = True
        self.first = 1
        """Number of the line on which the last row began."""

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
        hint = f"set 'delimiter' of the source to '{safe_text(other)}'"
        raise DataError(Fault(text, place=Place(name, line), hint=hint))
    seen: dict[str, int] = {}
    for position, column in enumerate(names, 1):
        if column in seen:
            text = f"column '{safe_text(column, 40)}' appears twice (columns {seen[column]} and {position})"
            raise DataError(Fault(text, place=Place(name, line)))
        seen[column] = position


def _check_widths(rows: list[list[str]], lines: np.ndarray, width: int, name: str) -> None:
    widths = np.fromiter(map(len, rows), np.int64, len(rows))
    wrong = np.flatnonzero(widths != width)
    if len(wrong):
        row = int(wrong[0])
        count = int(widths[row])
        fields = "1 field" if count == 1 else f"{count} fields"
        raise DataError(Fault(f"{fields}, the header has {width}", place=Place(name, int(lines[row]))))
