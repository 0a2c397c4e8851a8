"""Layout of delimited text, found in its bytes: which lines are rows, and whether the quotes are well-formed."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from kerascli.data.storage.delimited.text_format import MAX_FIELD, TextFormat
from kerascli.foundation.disk.files import count_byte

_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_LINE_ENDS = (_NEWLINE, _RETURN)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Byte order mark, with which some texts in UTF-8 begin; elsewhere in a text it is a character."""
_CHUNK = 2**18


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of delimited text, header too: the text without comment lines, and the lines on which the rows begin."""

    text: bytes | memoryview
    lines: np.ndarray | None
    """Number of the line on which each row begins, counted from 1; None if each line is a row, unless it is blank."""
    has_quoted_ends: bool = False
    """True if a quoted field contains a line end."""

    @classmethod
    def of(cls, text: bytes, form: TextFormat) -> Self | None:
        """Return the layout of a text in UTF-8; None if Python's csv module has to read it: it has bad quotes, a very
        long row, or else what pyarrow does not read alike."""
        if _is_odd(text, form):
            return None
        has_quotes = form.quotes and b'"' in text
        quoted = text.rfind(b'"') + 1 if has_quotes else 0
        is_plain = quoted <= text.find(b"\n") + 1 and b"\r" not in text and not form.comment
        data = np.frombuffer(text, np.uint8)
        quotes = _positions(data[:quoted], _QUOTE)
        if not _are_well_formed(data, quotes, ord(form.delimiter)):
            return None
        if is_plain:
            return None if _has_long_line(text) else cls(text, None)
        return cls._of_rows(text, data, quotes, form.comment)

    @classmethod
    def _of_rows(cls, text: bytes, data: np.ndarray, quotes: np.ndarray, comment: str) -> Self | None:
        """Return the layout of a text of which some lines are no rows; None if a row is very long."""
        newlines = _positions(data, _NEWLINE)
        starts, ends, lines = np.append(0, newlines + 1), np.append(newlines, len(data)), np.arange(len(newlines) + 1)
        ends -= (ends > starts) & (data[ends - 1] == _RETURN)
        outside = np.searchsorted(quotes, newlines) % 2 == 0  # a line end within quotes ends no row
        begins, closes = np.append(True, outside), np.append(outside, True)
        starts, ends, lines = starts[begins], ends[closes], lines[begins]
        if (ends - starts).max() > MAX_FIELD:
            return None
        comments = _begin_with(data, starts, comment.encode()) if comment else np.zeros(len(starts), bool)
        kept = (ends > starts) & ~comments
        return cls(_without(text, starts, comments), lines[kept] + 1, not outside.all())

    def numbers(self, rows: int) -> np.ndarray:
        """Return the number of the line on which each row begins, by the number of rows that pyarrow reads."""
        if self.lines is not None:
            return self.lines
        if count_byte(self.text, _NEWLINE) + (self.text[-1] != _NEWLINE) == rows:
            return np.arange(1, rows + 1)
        data = np.frombuffer(self.text, np.uint8)
        return np.flatnonzero(np.diff(_positions(data, _NEWLINE), prepend=-1, append=len(data)) > 1) + 1


def _is_odd(text: bytes, form: TextFormat) -> bool:
    """Return True for an empty text, one with a CR without LF or with quotes beside comments, one with a second byte
    order mark, and for a delimiter beyond ASCII."""
    if not text or text.startswith(BYTE_ORDER_MARK) or not form.delimiter.isascii() or form.delimiter in '\r\n"':
        return True
    if b"\r" in text and text.count(b"\r") != text.count(b"\r\n"):
        return True
    return bool(form.comment) and form.quotes and b'"' in text


def _has_long_line(text: bytes) -> bool:
    """Return True if there may be a line of more than `MAX_FIELD` bytes, by pieces of half that size without an end."""
    half = MAX_FIELD // 2
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
    around = np.array([delimiter, *_LINE_ENDS])
    begins = (opening == 0) | np.isin(data[opening - 1], around) | doubled
    ends = (closing == len(data) - 1) | np.isin(data[(closing + 1) % len(data)], around) | np.append(doubled[1:], False)
    return bool(begins.all() and ends.all())


def _begin_with(data: np.ndarray, starts: np.ndarray, prefix: bytes) -> np.ndarray:
    """Return a mask of the rows whose text begins with `prefix`."""
    found = np.ones(len(starts), bool)
    for offset, byte in enumerate(prefix):
        places = starts + offset
        found &= (places < len(data)) & (data[np.minimum(places, len(data) - 1)] == byte)
    return found


def _without(text: bytes, starts: np.ndarray, left_out: np.ndarray) -> bytes | memoryview:
    """Return a text without the rows of a mask, which begin at `starts`."""
    changes = np.flatnonzero(np.diff(np.append(True, left_out)))  # where rows to keep begin, and those to leave out
    bounds = [*np.append(starts, len(text))[changes].tolist(), len(text)]
    pieces = [memoryview(text)[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=False)]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
