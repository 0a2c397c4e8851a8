"""Format of delimited text: what separates fields, which fields are missing values, and how numbers are written."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

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
