"""Parse delimited text by columns with numpy, for installations without pyarrow; quoted fields contain no quotes."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from kerascli.data.storage.delimited.csv_scan import Layout, positions
from kerascli.data.storage.text_columns import SampledColumns, TextFormat
from kerascli.data.storage.tokens import Coded, as_objects

_ROWS = 2**16
"""Number of rows parsed at once, so that their bytes stay in the processor's caches."""
_PLUS, _MINUS, _ZERO, _QUOTE = b'+-0"'
_MAX_DIGITS, _MAX_FRACTION = 15, 22
"""Maximum digits of a decimal number and of its fraction for which digits / 10**fraction is the nearest float."""
_MAX_WORD = 64
_MIX = np.uint64(0x9E3779B97F4A7C15)


class ScannedColumns(SampledColumns):
    """Columns of delimited text that numpy parses on access, from the offsets of all fields."""

    def __init__(
        self, layout: Layout, marks: np.ndarray, are_text: Mapping[str, bool], form: TextFormat, *, quoted: bool
    ) -> None:
        super().__init__(are_text, form)
        self._data = layout.data
        self._marks = marks
        """Offsets that bound each row's fields: of the byte before the row, of its delimiters, and of its end."""
        self._quoted = quoted
        self._number = {name: number for number, name in enumerate(are_text)}

    @classmethod
    def of(cls, layout: Layout, are_text: Mapping[str, bool], form: TextFormat, used: Sequence[str]) -> Self | None:
        """Return the columns with the offsets of all fields; None if rows differ in width or fields contain quotes."""
        starts, ends = layout.starts, layout.ends
        begin = int(starts[0])
        quotes = positions(layout.data[begin:], _QUOTE) + begin if form.quotes else np.empty(0, np.int64)
        if layout.commented or layout.quoted_ends or (quotes[2::2] == quotes[1:-1:2] + 1).any():
            return None
        found = positions(layout.data[begin:], ord(form.delimiter)) + begin
        width = len(are_text)
        found = found[np.searchsorted(quotes, found) % 2 == 0] if len(quotes) else found
        if len(found) != len(starts) * (width - 1):
            return None
        inner = found.reshape(len(starts), width - 1)
        if width > 1 and ((inner[:, 0] < starts).any() or (inner[:, -1] >= ends).any()):
            return None
        small = np.int32 if len(layout.data) < 2**31 else np.int64
        marks = np.column_stack([starts - 1, inner, ends]).astype(small)
        return cls(layout, marks, are_text, form, quoted=len(quotes) > 0)

    def _places(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the offset and length, in the text, of each field of a column, without its quotes."""
        number = self._number[name]
        starts = self._marks[:, number].astype(np.int64) + 1
        lengths = self._marks[:, number + 1] - starts
        if not self._quoted:
            return starts, lengths
        quoted = (self._data[np.minimum(starts, len(self._data) - 1)] == _QUOTE) & (lengths > 0)
        return starts + quoted, lengths - 2 * quoted

    def _numbers(self, name: str) -> np.ndarray | None:
        if self._form.na_values or self._form.thousands:
            return None
        starts, lengths = self._places(name)
        if not lengths.any():
            return np.full(len(starts), np.nan)
        if lengths.max() > _MAX_DIGITS + 2:
            return None
        parts = []
        for at in range(0, len(starts), _ROWS):
            part = slice(at, at + _ROWS)
            found = _decimals(self._data, starts[part], lengths[part], ord(self._form.decimal))
            if found is None:
                return None
            parts.append(found)
        whole, fraction, negative = (np.concatenate(each) for each in zip(*parts, strict=True))
        missing = lengths == 0
        if not missing.any() and (fraction < 0).all():
            return np.where(negative, -whole, whole)
        values = whole / 10.0 ** np.maximum(fraction, 0)
        values = np.where(negative, -values, values)
        values[missing] = np.nan
        return values

    def _verbatim(self, name: str) -> Coded:
        starts, lengths = self._places(name)
        if lengths.max(initial=0) > _MAX_WORD:
            text = self._data.tobytes()
            ends = (starts + lengths).tolist()
            coded = Coded.of([text[i:j].decode() for i, j in zip(starts.tolist(), ends, strict=True)])
        else:
            coded = _coded(self._data, starts, lengths)
        present = Coded.of(self._form.present(coded.words.tolist()))
        return Coded(present.words, present.codes[coded.codes])


def _decimals(
    data: np.ndarray, starts: np.ndarray, lengths: np.ndarray, point: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Parse decimal numbers (or empty fields) to integers, as if they had no decimal point.

    Returns them with the number of digits behind the point (-1: there is none) and their signs; None if any field is
    written in another way or has too many digits.
    """
    whole = np.zeros(len(starts), np.int64)
    fraction = np.full(len(starts), -1, np.int64)
    digits = np.zeros(len(starts), np.int64)
    negative = np.zeros(len(starts), bool)
    for offset in range(int(lengths.max())):
        inside = offset < lengths
        found = data[np.minimum(starts + offset, len(data) - 1)]
        digit = found - np.uint8(_ZERO)
        is_digit = inside & (digit < 10)
        is_point = inside & (found == point) & (fraction < 0)
        if offset == 0:
            negative = inside & (found == _MINUS)
            inside &= ~negative & (found != _PLUS)
        if (inside & ~is_digit & ~is_point).any():
            return None
        whole = np.where(is_digit, whole * 10 + digit, whole)
        digits += is_digit
        fraction += is_point | (is_digit & (fraction >= 0))
    if (digits > _MAX_DIGITS).any() or (fraction > _MAX_FRACTION).any() or ((digits == 0) & (lengths > 0)).any():
        return None
    return whole, fraction, negative


def _coded(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Coded:
    """Return short fields as distinct texts, found by a hash of their bytes, and each field's index among them."""
    keys = np.concatenate(
        [_hashes(data, starts[at : at + _ROWS], lengths[at : at + _ROWS]) for at in range(0, len(starts), _ROWS)]
    )
    _, firsts, codes = np.unique(keys, return_index=True, return_inverse=True)
    first = firsts[codes]
    if (lengths != lengths[first]).any() or not _equal(data, starts, starts[first], lengths):
        text = data.tobytes()
        fields = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
        return Coded.of([text[i:j].decode() for i, j in fields])
    order = np.argsort(firsts)
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order))
    chosen = firsts[order]
    ends = (starts + lengths)[chosen].tolist()
    words = [data[i:j].tobytes().decode() for i, j in zip(starts[chosen].tolist(), ends, strict=True)]
    return Coded(as_objects(words), place[codes])


def _hashes(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    found = lengths.astype(np.uint64)
    for offset in range(int(lengths.max(initial=0))):
        byte = np.where(offset < lengths, data[np.minimum(starts + offset, len(data) - 1)], 0)
        found = (found ^ byte) * _MIX
        found ^= found >> np.uint64(32)
    return found


def _equal(data: np.ndarray, one: np.ndarray, other: np.ndarray, lengths: np.ndarray) -> bool:
    """Return True if the bytes of fields at the offsets `one` equal those of fields at the offsets `other`, which have
    the same lengths."""
    last = len(data) - 1
    for offset in range(int(lengths.max(initial=0))):
        differs = data[np.minimum(one + offset, last)] != data[np.minimum(other + offset, last)]
        if (differs & (offset < lengths)).any():
            return False
    return True
