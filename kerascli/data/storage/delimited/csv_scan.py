"""Layout of delimited text, found in its bytes at once: line ends, quotes, where rows begin, and on which lines.

Only well-formed text is described: text that the csv module might read in another way is left to it.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from kerascli.data.storage.text_columns import MAX_FIELD, TextFormat

_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_LINE_ENDS = (_NEWLINE, _RETURN)
_CHUNK = 2**18

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Byte order mark, with which some texts in UTF-8 begin; elsewhere in a text it is a character."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of delimited text: where rows begin and end, and on which lines; blank lines are no rows.

    The text is bytes in UTF-8, or in another encoding that contains ASCII.
    """

    content: bytes
    """The delimited text, comment lines too."""
    data: np.ndarray
    """Bytes of the delimited text (`content`), uint8."""
    starts: np.ndarray
    """Offset in the text at which each row begins."""
    ends: np.ndarray
    """Offset in the text at which each row ends, before its line end."""
    lines: np.ndarray
    """Number of the line on which each row begins, counted from 1."""
    quoted_ends: bool
    """True if a quoted field contains a line end."""
    commented: bool
    """True if lines were left out as comments."""

    @classmethod
    def of(cls, text: bytes, form: TextFormat) -> Self | None:
        """Return the layout of a text (its rows, with their lines); None if the text is empty or has bad quotes, a very
        long row, or a CR without LF."""
        if not text:
            return None
        data = np.frombuffer(text, np.uint8)
        quotes = positions(data, _QUOTE) if form.quotes and b'"' in text else np.empty(0, np.int64)
        if len(quotes) and (form.comment or not _well_formed(data, quotes, ord(form.delimiter))):
            return None
        returns = b"\r" in text
        if returns and text.count(b"\r") != text.count(b"\r\n"):
            return None
        newlines = positions(data, _NEWLINE)
        starts = np.concatenate([[0], newlines + 1])
        ends = np.concatenate([newlines, [len(data)]])
        lines = np.arange(1, len(starts) + 1)
        outside = np.searchsorted(quotes, newlines) % 2 == 0 if len(quotes) else np.ones(len(newlines), bool)
        if not outside.all():  # a line end within quotes ends no row
            starts, lines = (each[np.concatenate([[True], outside])] for each in (starts, lines))
            ends = ends[np.concatenate([outside, [True]])]
        if returns:
            ends = ends - ((ends > starts) & (data[ends - 1] == _RETURN))
        kept = ends > starts
        comments = _begin_with(data, starts, form.comment.encode()) if form.comment else ~kept
        kept &= ~comments
        if not kept.all():
            starts, ends, lines = starts[kept], ends[kept], lines[kept]
        if (ends - starts).max(initial=0) > MAX_FIELD:
            return None
        return cls(text, data, starts, ends, lines, not outside.all(), bool(form.comment) and bool(comments.any()))

    def behind(self, rows: int) -> Self:
        """Return the layout of the delimited text without its first `rows` rows."""
        return replace(self, starts=self.starts[rows:], ends=self.ends[rows:], lines=self.lines[rows:])

    def holds(self, byte: bytes) -> bool:
        """Return True if the text, its comment lines too, contains a byte."""
        return byte in self.content

    def text(self) -> bytes | memoryview:
        """Return the text of the rows, without comment lines."""
        text = self.data.data
        if not self.commented:
            return text[int(self.starts[0]) :]
        rows = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return b"\n".join([text[start:end] for start, end in rows])


def positions(data: np.ndarray, byte: int) -> np.ndarray:
    """Return the offsets at which a byte occurs in a text."""
    found = [np.flatnonzero(data[at : at + _CHUNK] == byte) + at for at in range(0, len(data), _CHUNK)]
    return np.concatenate([np.empty(0, np.int64), *found])


def _well_formed(data: np.ndarray, quotes: np.ndarray, delimiter: int) -> bool:
    """Return True if quotes enclose whole fields, and quotes within them are doubled."""
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before = np.where(opening > 0, data[opening - 1], _NEWLINE)
    doubled = np.zeros(len(opening), bool)
    doubled[1:] = opening[1:] == closing[:-1] + 1
    begins = (before == delimiter) | np.isin(before, _LINE_ENDS)
    after = np.where(closing + 1 < len(data), data[np.minimum(closing + 1, len(data) - 1)], _NEWLINE)
    continued = np.zeros(len(closing), bool)
    continued[:-1] = doubled[1:]
    ends = (after == delimiter) | np.isin(after, _LINE_ENDS)
    return bool((begins | doubled).all() and (ends | continued).all())


def _begin_with(data: np.ndarray, starts: np.ndarray, prefix: bytes) -> np.ndarray:
    """Return a mask of the rows whose text begins with `prefix`."""
    found = np.ones(len(starts), bool)
    for offset, byte in enumerate(prefix):
        places = starts + offset
        found &= (places < len(data)) & (data[np.minimum(places, len(data) - 1)] == byte)
    return found
