"""Rows of delimited text: their lines, found in its bytes, and rows as Python's csv module reads them.

The csv module finds the line of what pyarrow refuses. Text that it accepts, although its quotes or line ends are odd,
is returned.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self

import numpy as np

from kerascli.data.storage.delimited.text_format import MAX_FIELD, TextFormat
from kerascli.foundation.disk.files import OBJECT_BYTES, count_byte, refuse_text
from kerascli.foundation.errors import DataError, Fault, Place, counted, safe_text

_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_CHUNK = 2**18
_COMMENT = "if lines that begin with # are comments: 'comment: \"#\"' of the source skips them"
"""Hint of an error about a header, or a row, that begins with #."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Byte order mark, with which some texts in UTF-8 begin; elsewhere in a text it is a character."""


@dataclass(frozen=True)
class Layout:
    """Rows of delimited text, header too: the text without comment lines, and the lines on which the rows begin."""

    text: bytes
    kept: np.ndarray | None
    """Number of each of the text's lines in the file; None: no line is a comment."""
    quotes: np.ndarray
    """Offsets of the double quotes, which enclose whole fields."""

    @classmethod
    def of(cls, text: bytes, form: TextFormat) -> Self | None:
        """Return the layout of a text in UTF-8; None if Python's csv module has to read it: it has bad quotes, a very
        long row, or else what pyarrow does not read alike."""
        if _is_odd(text, form):
            return None
        kept = None
        if form.comment:
            comment, lines = form.comment.encode(), text.split(b"\n")
            kept = np.array([number for number, line in enumerate(lines, 1) if not line.startswith(comment)], np.int64)
            text = b"\n".join([lines[number - 1] for number in kept])
        data = np.frombuffer(text, np.uint8)
        quotes = _positions(data[: text.rfind(b'"') + 1], _QUOTE) if form.quotes else np.empty(0, np.int64)
        if not text or not _are_well_formed(data, quotes, ord(form.delimiter)):
            return None
        layout, half = cls(text, kept, quotes), MAX_FIELD // 2
        is_long = any(text.find(b"\n", at, at + half) < 0 for at in range(0, len(text) - half, half))
        return None if is_long and np.diff(layout._ends, prepend=-1).max() > MAX_FIELD + 1 else layout

    @cached_property
    def has_quoted_ends(self) -> bool:
        """True if a quoted field contains a line end."""
        in_header = not len(self.quotes) or self.quotes[-1] < self.text.find(b"\n")
        return not in_header and not self._are_row_ends.all()

    @cached_property
    def _newlines(self) -> np.ndarray:
        return _positions(np.frombuffer(self.text, np.uint8), _NEWLINE)

    @cached_property
    def _are_row_ends(self) -> np.ndarray:
        return np.searchsorted(self.quotes, self._newlines) % 2 == 0  # a line end within quotes ends no row

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.append(self._newlines[self._are_row_ends], len(self.text))

    def lines(self, rows: int) -> Callable[[], np.ndarray] | None:
        """Return a function that returns the number of the line on which each row begins, counted from 1; None unless
        there are `rows` rows. Blank lines are no rows."""
        data = np.frombuffer(self.text, np.uint8)
        is_plain = self.kept is None and not self.has_quoted_ends
        if is_plain and rows == count_byte(self.text, _NEWLINE) + (data[-1] != _NEWLINE):
            return partial(np.arange, 1, rows + 1)
        sizes = np.diff(self._ends, prepend=-1) - 1
        blank = (sizes == 0) | ((sizes == 1) & (data[self._ends - 1] == _RETURN))
        begins = np.flatnonzero(np.append(True, self._are_row_ends))[~blank]
        lines = begins + 1 if self.kept is None else self.kept[begins]
        return (lambda: lines) if len(lines) == rows else None


def _is_odd(text: bytes, form: TextFormat) -> bool:
    """Return True for a text with a second byte order mark, a CR without LF, or quotes beside comments, and for a
    delimiter beyond ASCII."""
    if text.startswith(BYTE_ORDER_MARK) or not form.delimiter.isascii() or form.delimiter in '\r\n"':
        return True
    has_returns = b"\r" in text and text.count(b"\r") != text.count(b"\r\n")
    return has_returns or bool(form.comment and form.quotes and b'"' in text)


def _positions(data: np.ndarray, byte: int) -> np.ndarray:
    """Return the offsets at which a byte occurs in a text."""
    found = [np.flatnonzero(data[at : at + _CHUNK] == byte) + at for at in range(0, len(data), _CHUNK)]
    return np.concatenate([np.empty(0, np.int64), *found])


def _are_well_formed(data: np.ndarray, quotes: np.ndarray, delimiter: int) -> bool:
    """Return True if quotes enclose whole fields, and quotes within them are doubled."""
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    doubled = np.append(False, opening[1:] == closing[:-1] + 1)
    around = np.array([delimiter, _NEWLINE, _RETURN])
    begins = (opening == 0) | np.isin(data[opening - 1], around) | doubled
    ends = (closing == len(data) - 1) | np.isin(data[(closing + 1) % len(data)], around) | np.append(doubled[1:], False)
    return bool(begins.all() and ends.all())


MARKS = ";\t|,"
"""Usual delimiters: a header of one column that contains one is a mistake."""
_FIELD_BYTES = OBJECT_BYTES + 16
"""Memory in bytes of a field, as a string that rows and columns refer to."""
_MARKS = {"\n": 96 + _FIELD_BYTES, "\r": 96 + _FIELD_BYTES}
"""Memory in bytes of a row, as a list, by the character that ends it; with that of its last field."""
_MAGIC = {b"PK\x03\x04": "a zip archive (npz, xlsx)", b"\x1f\x8b": "gzip", b"PAR1": "parquet", b"\x93NUMPY": "npy",
          b"\x89HDF": "HDF5", b"\x80": "a pickle"}  # fmt: skip
_NO_QUOTES = "if quotes in this file are characters like any other, set 'quotes: false' of the source"


def as_utf8(data: bytes, name: str, form: TextFormat) -> bytes:
    """Return the text of a file in UTF-8, without byte order mark. Raises DataError."""
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            raise DataError(f"this is {kind}, not delimited text", place=name)
    is_utf8 = form.encoding.lower().replace("_", "-") in {"utf-8", "utf8", "utf-8-sig"}
    encoding = "UTF-8" if is_utf8 else form.encoding.upper()
    try:
        text = data.removeprefix(BYTE_ORDER_MARK) if is_utf8 else data.decode(form.encoding).encode()
        if is_utf8 and not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        message = f"not {encoding} (byte {data[error.start]:#04x}{_in_column(data, error.start, form)})"
        hint = "set 'encoding' of the source, for example latin-1"
        raise DataError(message, place=_line_at(data, error.start, name), hint=hint) from None
    except UnicodeEncodeError:
        raise DataError(f"not {encoding}: it has half a character", place=name) from None
    if b"\0" in text:
        at = text.index(b"\0")
        where = _in_column(text, at, form.text_format(encoding="utf-8")).strip()
        message = f"a zero byte in the text{f' ({where})' if where else ''}"
        raise DataError(message, place=_line_at(text, at, name))
    return text


def _in_column(data: bytes, at: int, form: TextFormat) -> str:
    """Return the text ` in column 'age'` for the field at an offset; '' if there is no name for it."""
    header = data.removeprefix(BYTE_ORDER_MARK).split(b"\n", 1)[0].decode(form.encoding, errors="replace")
    names = form.names or header.rstrip("\r").split(form.delimiter)
    position = data[data.rfind(b"\n", 0, at) + 1 : at].decode("latin-1").count(form.delimiter)
    return f" in column '{safe_text(names[position], 40)}'" if position < len(names) else ""


def _line_at(data: bytes, at: int, name: str) -> Place:
    return Place(name, data.count(b"\n", 0, at) + 1)


Wrong = tuple[Fault, list[int]]
"""Error of rows, and the indices of all rows that have it."""


def read_rows(
    text: bytes, name: str, form: TextFormat, packed: int
) -> tuple[tuple[str, ...], list[list[str]], np.ndarray, Wrong | None]:
    """Return the column names of delimited text in UTF-8, its rows, the lines on which they begin, and the error of
    rows that have too many or too few fields with their indices (None: there are none); they are empty.

    Blank lines and comments are no rows. Raises DataError with the line of the first error, FileRefused.
    """
    refuse_text(text, {**_MARKS, form.delimiter: _FIELD_BYTES}, packed, name)
    csv.field_size_limit(MAX_FIELD)
    lines: list[int] = []
    rows: list[list[str]] = []
    begins, first = True, 1 + form.skip_rows

    def without_comments() -> Iterator[str]:  # which are only where a row may begin: not within quotes
        nonlocal begins, first
        for number, line in enumerate(io.StringIO(text.decode(), newline=""), 1 + form.skip_rows):
            if begins and form.comment and line.startswith(form.comment):
                continue
            first, begins = number if begins else first, False
            yield line

    try:
        for row in form.reader(without_comments()):
            if row:
                lines.append(first)
                rows.append(row)
            begins = True
    except csv.Error as error:
        raise _fault(str(error), name, first) from None
    if not rows:
        raise DataError("the file is empty", place=Place(name, 1))
    names = form.names or tuple(rows[0])
    _check_names(names, name, form.delimiter, lines[0])
    if not form.names:
        lines, rows = lines[1:], rows[1:]
    if not rows:
        raise DataError("a header but no rows", place=name)
    return names, rows, np.array(lines), _wrong_widths(rows, lines, names, name)


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


def _check_names(names: tuple[str, ...], name: str, delimiter: str, line: int) -> None:
    other = next((mark for mark in MARKS if mark in names[0]), None)
    if len(names) == 1 and other and other != delimiter:
        text = f"a single column '{safe_text(names[0], 40)}'"
        hint = _COMMENT if names[0].startswith("#") else f"set 'delimiter' of the source to '{safe_text(other)}'"
        raise DataError(text, place=Place(name, line), hint=hint)
    seen: dict[str, int] = {}
    for position, column in enumerate(names, 1):
        if column in seen:
            text = f"column '{safe_text(column, 40)}' appears twice (columns {seen[column]} and {position})"
            raise DataError(text, place=Place(name, line))
        seen[column] = position


def _wrong_widths(rows: list[list[str]], lines: list[int], names: Sequence[str], name: str) -> Wrong | None:
    """Empty the rows that have too many or too few fields; return the error of the first, and their indices."""
    wrong = [index for index, row in enumerate(rows) if len(row) != len(names)]
    if not wrong:
        return None
    first = wrong[0]
    hint = next((_COMMENT for line in (names, rows[first]) if line and line[0].startswith("#")), None)
    text = f"{counted(len(rows[first]), 'field')}, the header has {len(names)}"
    for row in wrong:
        rows[row] = [""] * len(names)
    return Fault(text, place=Place(name, lines[first]), hint=hint), wrong
