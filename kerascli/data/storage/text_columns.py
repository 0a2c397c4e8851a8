"""Format of delimited text, and its columns, which become numbers or booleans on access; others stay text.

Only an empty field is a missing value, so that 'NA' (Namibia) and 'None' stay text.
"""

import contextlib
import csv
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kerascli.data.storage.tokens import Coded

if TYPE_CHECKING:
    from _csv import Reader


MAX_FIELD = 2**20
"""Maximum number of characters of a field of delimited text."""


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
        if self.decimal == "." and not self.thousands:
            return fields
        if not all(self._number.fullmatch(each) for each in fields if each):
            return None
        return [each.replace(self.thousands, "").replace(self.decimal, ".") for each in fields]

    @cached_property
    def _number(self) -> "re.Pattern[str]":
        whole = rf"(?:\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+|\d+)" if self.thousands else r"\d+"
        point = re.escape(self.decimal)
        return re.compile(rf"\s*[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?\s*")


DEFAULT = TextFormat()

INEXACT = "has too many digits for a number (64-bit integers; up to 2**53 beside missing values and fractions)"
"""End of the error message about an integer with too many digits for any number type, which is kept as text."""

TRUE, FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
"""Words for true and for false in a boolean column, as in pandas; `yes` and `no` are text, as in configs."""


class TextColumns(Mapping[str, np.ndarray]):
    """Columns of delimited text by name: numbers or booleans if every nonempty field of a column is one, else text."""

    def __init__(self, fields: Mapping[str, Sequence[str]], form: TextFormat = DEFAULT) -> None:
        self._names = dict.fromkeys(fields)
        self._fields = fields
        self._form = form
        self._typed: dict[str, np.ndarray | None] = {}
        """Mapping from each column converted so far to its values; None for a column of text."""
        self._coded: dict[str, Coded] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        typed = self._typed_column(name)
        return self.coded(name).rows() if typed is None else typed

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def text(self, name: str) -> np.ndarray:
        """Return the fields of a column of delimited text verbatim, as text."""
        return self.coded(name).rows()

    def is_text(self, name: str) -> bool:
        """Return True if a column is neither of numbers nor of booleans."""
        return self._typed_column(name) is None

    def coded(self, name: str) -> Coded:
        """Return a column's fields verbatim, as the distinct texts and each row's index among them."""
        if name not in self._coded:
            self._coded[name] = self._verbatim(name)
        return self._coded[name]

    def _typed_column(self, name: str) -> np.ndarray | None:
        if name not in self._typed:
            self._typed[name] = None if self._form.dtypes.get(name) == "text" else self._converted(name)
        return self._typed[name]

    def _verbatim(self, name: str) -> Coded:
        return Coded.of(self._fields[name])

    def _converted(self, name: str) -> np.ndarray | None:
        """Return a column as numbers or booleans; None if it is text."""
        return typed(self._fields[name], self._form, only_numbers=self._only_numbers(name))

    def _only_numbers(self, name: str) -> bool:
        """Return True if the config declares a column as numbers, so that `true` and `false` in it are text."""
        return self._form.dtypes.get(name) == "number"


class SampledColumns(TextColumns):
    """Base class of columns of a large delimited text; its first rows show which columns can only be text."""

    def __init__(self, are_text: Mapping[str, bool], form: TextFormat) -> None:
        super().__init__(dict.fromkeys(are_text, ()), form)
        self._are_text = are_text

    def _converted(self, name: str) -> np.ndarray | None:
        if self._are_text[name]:
            return None
        numbers = self._numbers(name)
        if numbers is not None:
            return numbers
        coded = self.coded(name)
        values = typed(coded.words.tolist(), self._form, only_numbers=self._only_numbers(name))
        return None if values is None else values[coded.codes]

    @abstractmethod
    def _numbers(self, name: str) -> np.ndarray | None:
        """Parse a column to numbers or booleans; return None if its distinct texts must be parsed instead."""

    @abstractmethod
    def _verbatim(self, name: str) -> Coded:
        """Return a column's fields as distinct texts and each row's index among them; a missing value is ''."""


def typed(fields: Sequence[str], form: TextFormat, *, only_numbers: bool = False) -> np.ndarray | None:
    """Parse a column's fields to numbers or (unless `only_numbers`) booleans; return None if they are text."""
    plain = form.plain_numbers(fields)
    numbers = None if plain is None else numbers_of(plain)
    return booleans_of(fields) if numbers is None and not only_numbers else numbers


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
