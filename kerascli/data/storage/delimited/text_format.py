"""Settings of delimited text, and the types of its columns: numbers or booleans if all fields are such, else text.

Only an empty field is a missing value, so that 'NA' (Namibia) and 'None' stay text.
"""

import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, model_validator
from pydantic import Field as Setting

from kerascli.data.storage.column import pa, pc, text_array
from kerascli.foundation.shapes import NonNegativeInt, Words
from kerascli.language.component import Component

if TYPE_CHECKING:
    from _csv import Reader


Character = Annotated[str, Setting(min_length=1, max_length=1)]
MAX_FIELD = 2**20
"""Maximum number of characters of a field of delimited text."""
_SAMPLED_ROWS = 200


def known_encoding(encoding: str) -> str:
    """Return the name of a text encoding. Raises ValueError if there is none of this name."""
    try:
        bytes(4).decode(encoding)  # some codecs are not text encodings, and one always fails
    except (LookupError, ValueError):
        raise ValueError(f"there is no encoding '{encoding}'; for example utf-8, latin-1 or cp1252") from None
    return encoding


class TextFormat(Component):
    """Settings of delimited text, those of the data source `csv`."""

    delimiter: Character = ","
    """Character that separates fields."""
    encoding: Annotated[str, AfterValidator(known_encoding)] = "utf-8"
    """Text encoding of the files, for example utf-8, latin-1 or cp1252."""
    names: Words = ()
    """Column names for files without a header line; empty: the first line is the header."""
    quotes: bool = True
    """Allow fields in double quotes; false: a double quote is an ordinary character."""
    na_values: Words = ()
    """Fields that are missing values, beside empty ones, for example [NA, "-"]."""
    decimal: Character = "."
    """Decimal separator of numbers."""
    thousands: Character | None = None
    """Thousands separator of numbers; null: they have none."""
    skip_rows: NonNegativeInt = 0
    """Number of lines to skip at the start of a file, before the header."""
    comment: Annotated[str, Setting(min_length=1)] | None = None
    """Prefix of lines to skip; null: no line is a comment."""
    dtypes: dict[str, Literal["text", "number"]] = Setting(default={})
    """Mapping from column to its type: text (keeps zip codes as they are) or number.
    Other columns are numbers (or booleans) if every field is one, else text."""

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError(f"thousands: '{self.thousands}' is the decimal already")
        return self

    def text_format(self, **changes: Any) -> "TextFormat":
        """Return these settings alone, with changes."""
        return TextFormat(**{name: getattr(self, name) for name in TextFormat.model_fields} | changes)

    def reader(self, lines: Iterator[str], *, strict: bool = True) -> "Reader":
        """Return a csv reader of the rows in an iterator of lines, which include their line ends."""
        quoting = csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE
        return csv.reader(lines, delimiter=self.delimiter, quoting=quoting, strict=strict)

    def plain(self, text: str) -> str | None:
        """Return a number in Python's notation; None if the text is no number in this format."""
        if not re.fullmatch(self.number, text, re.ASCII):
            return None
        return text.replace(self.thousands or "", "").replace(self.decimal, ".")

    @cached_property
    def number(self) -> str:
        """Regular expression of a number in this format."""
        whole = rf"(?:\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+|\d+)" if self.thousands else r"\d+"
        point = re.escape(self.decimal)
        return rf"\s*[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?\s*"


DEFAULT = TextFormat()

INEXACT = "has too many digits for a number (64-bit integers; up to 2**53 beside missing values and fractions)"
"""End of the error message about an integer with too many digits for any number type, which is kept as text."""

BOOLEANS = (("false", "true"), ("False", "True"), ("FALSE", "TRUE"))
"""Words for false and for true in a boolean column, as in pandas; `yes` and `no` are text, as in configs."""


def typed(fields: "pa.ChunkedArray[Any]", form: TextFormat = DEFAULT, dtype: str | None = None) -> np.ndarray | None:
    """Parse a column's fields, null where they are missing, to numbers or booleans; return None if they are text.

    Integers become int64 or uint64; other numbers, and integers with gaps, float64 with nan; booleans with gaps 0.0,
    1.0 and nan. Integers that these dtypes do not represent exactly are text, so that ids are kept. `dtype` is the
    column's type by the config: `text`, or `number`, so that `true` and `false` in it are text.
    """
    head = None if dtype == "text" else _typed(fields.slice(0, _SAMPLED_ROWS), form, dtype, integers=True)
    if head is None or len(fields) <= _SAMPLED_ROWS:
        return head
    return _typed(fields, form, dtype, integers=head.dtype.kind in "iu")


def numbers_of(texts: Sequence[str]) -> np.ndarray | None:
    """Parse texts, '' where they are missing, to numbers as `typed` does; return None if one is no number."""
    with contextlib.suppress(UnicodeEncodeError):  # half a character
        return typed(text_array(texts), dtype="number")
    return None


def _typed(fields: "pa.ChunkedArray[Any]", form: TextFormat, dtype: str | None, *, integers: bool) -> np.ndarray | None:
    """Parse fields as `typed`; `integers` is True if they may all be integers."""
    numbers = _numbers(fields, integers=integers) if form.decimal == "." and not form.thousands else None
    if numbers is None and (plain := _plain(fields, form)) is not None:
        numbers = _numbers(plain, integers=integers)
    return _booleans(fields) if numbers is None and dtype != "number" else numbers


def _plain(fields: "pa.ChunkedArray[Any]", form: TextFormat) -> "pa.ChunkedArray[Any] | None":
    """Return numbers without spaces and plus signs, in Python's notation; None if a field is no number."""
    fields = pc.utf8_trim_whitespace(fields)
    if not pc.all(pc.match_substring_regex(fields, f"^(?:{form.number})$"), min_count=0).as_py():
        return None
    plain = pc.replace_substring(fields, form.thousands, "") if form.thousands else fields
    return pc.replace_substring_regex(pc.replace_substring(plain, form.decimal, "."), r"^\+", "")


def _numbers(fields: "pa.ChunkedArray[Any]", *, integers: bool) -> np.ndarray | None:
    """Return fields as numbers, as Arrow reads them; None if one is no number, or an integer with a plus sign."""
    whole = integers and not fields.null_count
    for kind in (pa.int64(), pa.uint64(), pa.float64()) if whole else (pa.float64(),):
        with contextlib.suppress(pa.ArrowInvalid):
            values = fields.cast(kind).to_numpy()
            break
    else:
        return None
    if values.dtype != np.float64:
        is_hexadecimal = any(pc.any(pc.match_substring(fields, mark)).as_py() for mark in "xX")
        return None if is_hexadecimal else values
    if np.count_nonzero(np.isfinite(values)) != len(fields) - fields.null_count:
        return None
    large = np.flatnonzero(np.abs(values) >= 2**53)
    if len(large) and first_inexact(fields.take(pa.array(large)).to_pylist(), values[large]) is not None:
        return None
    has_plus = whole and bool((values == np.trunc(values)).all()) and pc.any(pc.starts_with(fields, "+")).as_py()
    return None if has_plus else values


def _booleans(fields: "pa.ChunkedArray[Any]") -> np.ndarray | None:
    """Return fields as booleans, or as 0.0 and 1.0 with nan for missing ones; None for any other word."""
    words = pc.utf8_trim(fields, " \t")
    false, true = (pc.is_in(words, pa.array(each)).to_numpy() for each in zip(*BOOLEANS, strict=True))
    if not 0 < true.sum() + false.sum() == len(fields) - fields.null_count:
        return None
    return np.where(true | false, true, np.nan) if fields.null_count else true


def first_inexact(fields: Sequence[str], values: np.ndarray) -> int | None:
    """Return the row of the first field that is an integer but is not represented exactly in `values`, or None."""
    for row in np.flatnonzero(np.abs(values) >= 2**53).tolist():
        with contextlib.suppress(ValueError):  # '1e300' is not an integer literal
            if int(fields[row]) != int(values[row]):
                return row
    return None
