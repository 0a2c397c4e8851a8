"""Layout of delimited text, found in its bytes: which lines are rows, and whether the quotes are well-formed."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from kerascli.data.storage.delimited.text_format import MAX_FIELD, TextFormat
from kerascli.foundation.disk.files import count_byte

_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_CHUNK = 2**18
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Byte order mark, with which some texts in UTF-8 begin; elsewhere in a text it is a character."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of delimited text, header too: the text without comment lines, and the lines on which the rows begin."""

    text: bytes
    lines: np.ndarray | None = None
    """Number of the line on which each row begins, counted from 1; None if each line is a row, unless it is blank."""
    has_quoted_ends: bool = False
    """True if a quoted field contains a line end."""

    @classmethod
    def of(cls, text: bytes, form: TextFormat) -> Self | None:
        """Return the layout of a text in UTF-8; None if Python's csv module has to read it: it has bad quotes, a very
        long row, or else what pyarrow does not read alike."""
        if _is_odd(text, form):
            return None
        if form.comment:
            comment = form.comment.encode()
            rows = [(n, line) for n, line in enumerate(text.split(b"\n"), 1) if not line.startswith(comment)]
            lines = np.array([number for number, line in rows if line.strip(b"\r")])
            return cls(b"\n".join([line for _, line in rows]), lines)
        quoted = text.rfind(b'"') + 1 if form.quotes else 0
        data = np.frombuffer(text, np.uint8)
        quotes = _positions(data[:quoted], _QUOTE)
        if not _are_well_formed(data, quotes, ord(form.delimiter)):
            return None
        return cls(text) if quoted <= text.find(b"\n") + 1 else cls._quoted(text, quotes)

    @classmethod
    def _quoted(cls, text: bytes, quotes: np.ndarray) -> Self | None:
        """Return the layout of a text with quotes at the given offsets; None if a row is very long."""
        newlines = _positions(np.frombuffer(text, np.uint8), _NEWLINE)
        outside = np.searchsorted(quotes, newlines) % 2 == 0  # a line end within quotes ends no row
        ends = np.append(newlines[outside], len(text))
        sizes = np.diff(ends, prepend=-1) - 1
        blank = (sizes == 0) | ((sizes == 1) & (np.frombuffer(text, np.uint8)[ends - 1] == _RETURN))
        lines = np.flatnonzero(np.append(True, outside)) + 1
        return None if sizes.max() > MAX_FIELD else cls(text, lines[~blank], not outside.all())

    def numbers(self, rows: int) -> np.ndarray:
        """Return the number of the line on which each row begins, by the number of rows that pyarrow reads."""
        if self.lines is not None:
            return self.lines
        if count_byte(self.text, _NEWLINE) + (self.text[-1] != _NEWLINE) == rows:
            return np.arange(1, rows + 1)
        return np.array([n for n, line in enumerate(self.text.split(b"\n"), 1) if line.strip(b"\r")])


def _is_odd(text: bytes, form: TextFormat) -> bool:
    """Return True for a text that is empty, or has a second byte order mark, a CR without LF, quotes beside comments,
    or a very long line, and for a delimiter beyond ASCII."""
    if not text or text.startswith(BYTE_ORDER_MARK) or not form.delimiter.isascii() or form.delimiter in '\r\n"':
        return True
    if (b"\r" in text and text.count(b"\r") != text.count(b"\r\n")) or (form.comment and form.quotes and b'"' in text):
        return True
    half = MAX_FIELD // 2  # a longer line has a piece of this size without an end
    return any(text.find(b"\n", at, at + half) < 0 for at in range(0, len(text) - half + 1, half))


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
