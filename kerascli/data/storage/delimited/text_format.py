"""Settings of delimited text, and the types of its columns: numbers or booleans if all fields are such, else text.

Only an empty field is a missing value, so that 'NA' (Namibia) and 'None' stay text.
"""

import contextlib
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascli.data.storage.column import arrow, encode

if TYPE_CHECKING:
    from _csv import Reader

    import pyarrow as pa


MAX_FIELD = 2**20
"""Maximum number of characters of a field of delimited text."""
_SAMPLED_ROWS = 200


@dataclass(frozen=True)
class TextFormat:
    """Settings of a delimited text file; their defaults are the defaults of the data source `csv`."""

    delimiter: str = ","
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()
    """Column names of a file without a header line."""
    quotes: bool = True
    na_values: frozenset[str] = frozenset()
    """Fields that stand for missing values, beside empty fields."""
    decimal: str = "."
    thousands: str = ""
    skip_rows: int = 0
    """Number of lines to skip before the header."""
    comment: str = ""
    """Prefix of lines to skip; '' if no line is a comment."""
    dtypes: Mapping[str, str] = field(default_factory=dict)
    """Mapping from column to its type, `text` or `number`; the types of other columns are detected."""

    def reader(self, lines: Iterator[str]) -> "Reader":
        """Return a csv reader of the rows in an iterator of lines, which include their line ends."""
        quoting = csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE
        return csv.reader(lines, delimiter=self.delimiter, quoting=quoting, strict=True)

    def present(self, fields: Sequence[str]) -> Sequence[str]:
        """Return a column's fields with '' in place of each missing value (`na_values`)."""
        if not self.na_values:
            return fields
        return ["" if each in self.na_values else each for each in fields]

    def plain_numbers(self, fields: Sequence[str]) -> Sequence[str] | None:
        """Return a column's fields in Python's notation of numbers; None if a field is no number in this format."""
        if self.is_plain:
            return fields
        number = re.compile(self.number)
        if not all(number.fullmatch(each) for each in fields if each):
            return None
        return [each.replace(self.thousands, "").replace(self.decimal, ".") for each in fields]

    @property
    def is_plain(self) -> bool:
        """True if numbers are written in Python's notation."""
        return self.decimal == "." and not self.thousands

    @cached_property
    def number(self) -> str:
        """Regular expression of a number in this format."""
        whole = rf"(?:\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+|\d+)" if self.thousands else r"\d+"
        point = re.escape(self.decimal)
        return rf"\s*[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?\s*"


DEFAULT = TextFormat()

INEXACT = "has too many digits for a number (64-bit integers; up to 2**53 beside missing values and fractions)"
"""End of the error message about an integer with too many digits for any number type, which is kept as text."""

TRUE, FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
"""Words for true and for false in a boolean column, as in pandas; `yes` and `no` are text, as in configs."""


def typed(fields: "pa.ChunkedArray[Any]", form: TextFormat, dtype: str | None = None) -> np.ndarray | None:
    """Parse a column's fields, null where they are missing, to numbers or booleans; return None if they are text.

    `dtype` is the column's type by the config: `text`, or `number`, so that `true` and `false` in it are text. Arrow
    parses what it reads as Python does; Python parses the distinct texts of other columns.
    """
    head = typed_texts(fields.slice(0, _SAMPLED_ROWS).fill_null("").to_pylist(), form, dtype)
    if dtype == "text" or head is None:
        return None
    numbers = _numbers(fields, form, integers=head.dtype.kind in "iu")
    if numbers is not None:
        return numbers
    words, codes = encode(fields)
    values = typed_texts(words.to_pylist(), form, dtype)
    return None if values is None else values[codes]


def typed_texts(fields: Sequence[str], form: TextFormat, dtype: str | None = None) -> np.ndarray | None:
    """Parse fields, '' where they are missing, as `typed` does."""
    plain = form.plain_numbers(fields)
    numbers = None if plain is None else numbers_of(plain)
    return booleans_of(fields) if numbers is None and dtype != "number" else numbers


def _numbers(fields: "pa.ChunkedArray[Any]", form: TextFormat, *, integers: bool) -> np.ndarray | None:
    """Return a column as numbers; None if it is not one of numbers, or if Python may read one otherwise than Arrow.

    `integers` is True if the first fields are integers.
    """
    pa = arrow()
    plain = _plain(fields, form)
    if plain is None:
        return None
    whole = integers and not plain.null_count
    for kind in (pa.int64(), pa.uint64(), pa.float64()) if whole else (pa.float64(),):
        with contextlib.suppress(pa.ArrowInvalid):
            values = plain.cast(kind).to_numpy()
            break
    else:
        return None
    if values.dtype != np.float64:
        return None if _match(plain, "[xX]") else values  # a hexadecimal number
    if np.count_nonzero(np.isfinite(values)) != len(plain) - plain.null_count:
        return None
    large = np.flatnonzero(np.abs(values) >= 2**53)
    if len(large) and first_inexact(plain.take(pa.array(large)).to_pylist(), values[large]) is not None:
        return None
    is_odd = whole and bool((values == np.trunc(values)).all()) and _match(plain, r"^(\+|-0+$)")
    return None if is_odd else values  # Arrow reads no integer in '+5', and none beyond 2**63 beside '-0'


def _plain(fields: "pa.ChunkedArray[Any]", form: TextFormat) -> "pa.ChunkedArray[Any] | None":
    """Return a column's fields in Python's notation of numbers; None if one may be no number in this format."""
    if form.is_plain:
        return fields
    pc = arrow().compute
    if not pc.all(pc.match_substring_regex(fields, f"^(?:{form.number})$"), min_count=0).as_py():
        return None
    plain = pc.replace_substring(fields, form.thousands, "") if form.thousands else fields
    return pc.replace_substring(plain, form.decimal, ".")


def _match(fields: "pa.ChunkedArray[Any]", pattern: str) -> bool:
    """Return True if a pattern is found in any field."""
    pc = arrow().compute
    return pc.any(pc.match_substring_regex(fields, pattern)).as_py()


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


def booleans_of(fields: Sequence[str]) -> np.ndarray | None:
    """Parse a column's fields to booleans, or to 0.0 and 1.0 with nan for empty fields; None for any other word."""
    if not fields or fields[0].strip(" \t") not in {*TRUE, *FALSE, ""}:
        return None
    number_of: dict[str, float] = {"": np.nan} | dict.fromkeys(TRUE, 1.0) | dict.fromkeys(FALSE, 0.0)
    numbers = [number_of.get(field.strip(" \t") if field.strip(" \t") else field) for field in fields]  # ' ' is no gap
    if None in numbers:
        return None
    values = np.array(numbers, np.float64)
    missing = np.isnan(values)
    if missing.all():
        return None
    return values if missing.any() else values.astype(bool)


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
    """Return the row of the first field that is an integer but is not represented exactly in `values`, or None."""
    for row in np.flatnonzero(np.abs(values) >= 2**53).tolist():
        with contextlib.suppress(ValueError):  # '1e300' is not an integer literal
            if int(fields[row]) != int(values[row]):
                return row
    return None
