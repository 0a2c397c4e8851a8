"""Inference of the role of each column of a table: numeric, categorical, free text, date, identifier ..."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kerascli.config.starter.dates import date_format, varying_parts
from kerascli.config.starter.sample import SampledTable
from kerascli.data.dates import parsed_times
from kerascli.data.storage.blocks import unique_inverse
from kerascli.data.storage.table import missing

MAX_WORDS = 50
"""Maximum size of the one-hot vocabulary of a categorical column (role `words`); the rarer values share one entry."""
PROSE_WORDS = 4
"""Mean number of words per value from which on a text column counts as free text (role `prose`), which is split into
words."""
MOST = 1e150
"""Largest absolute value of a numeric column; the squares of larger ones, which scaling needs, may exceed float64."""
SKEWED = 3.0
"""Skewness of a numeric column of nonnegative values above which the model gets the column's logarithm."""

Role = Literal["numbers", "skewed", "words", "prose", "date", "group", "files", "left out"]

_FEWEST = 10
"""Minimum number of values of an input column that has missing values; with fewer, training rows may have none."""
_FEWEST_OTHER = 5
"""Minimum number of values other than the most frequent one (for fewer than 25 values, a fifth of them).

With fewer, all training rows may have the most frequent value.
"""
_FEWEST_IDS = 20
"""Minimum number of rows from which on different integers are evidence of an identifier."""
_SPARSE = 5
"""Ratio of the range of increasing integers to their number, below which they are row numbers with gaps."""

NEARLY_ONE = "nearly always one value"
"""Reason for leaving out a column in which nearly all rows have the same value, as then all training rows may."""
EACH_ANOTHER = "an identifier, it seems: row numbers with gaps or in another order"
"""Reason for leaving out a column of different integers, which look like an identifier but may be measurements."""

_ID = re.compile(r"(^|[_ .-])(id|uuid|guid)$|^(id|uuid|guid)[_ .-]", re.IGNORECASE)
_ID_OR_COUNT = re.compile(r"(^|[_ .-])(key|index|idx|number|nr|no|code|unnamed: 0|rownames?)$", re.IGNORECASE)
_GROUP = re.compile(
    r"(^|[_ .-])(id|user|customer|client|patient|subject|person|member|account|session|household|device|player|student)"
    r"(s|[_ .-]?(id|no|nr|number|name|key))?$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"[a-z](Id|ID)$")
_BIRTH = re.compile(r"birth|dob|born", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Column:
    """Column of a table and its role in a generated config; `reason` says why a column is left out."""

    name: str
    role: Role
    has_gaps: bool = False
    """True if values of the column are missing."""
    different: int = 0
    """Number of distinct values in the column, missing ones not counted."""
    reason: str = ""
    date_format: str = ""
    """Format of the dates in a date column, as `strptime` takes it; empty for ISO 8601."""
    parts: tuple[str, ...] = ()
    """Parts (month, weekday ...) of the dates in a date column that vary, as the transform `datetime` names them."""
    orders: bool = False
    """True if the rows can be split by this column: it holds the time of each row, in ISO format."""
    mean_words: float = 0.0
    """Mean number of words per value, for a column of free text (role `prose`)."""

    @property
    def is_number(self) -> bool:
        return self.role in ("numbers", "skewed")

    @property
    def may_be_number(self) -> bool:
        """True for a column of integers that is left out since its values, not its name, suggest an identifier.

        It may hold measurements: it can be the target or a value of a time series, and is an input if no other can be.
        """
        return self.reason == EACH_ANOTHER

    @property
    def may_be_value(self) -> bool:
        """True for a column of numbers that can be the target, or a value of a time series."""
        return self.is_number or self.may_be_number

    def left_out(self, reason: str) -> "Column":
        return replace(self, role="left out", reason=reason, orders=False)


Roles = Mapping[str, Column]
"""Mapping from the name of each column of a table to the column, with its role."""


def find_roles(table: SampledTable) -> dict[str, Column]:
    """Infer the role of each column of a table (numeric, date ...); return the columns with roles by name."""
    return {name: _role(name, table.columns[name], table.rows) for name in table.columns}


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (values of a column without the missing ones, the distinct ones in order, how often each occurs)."""
    present = values[~missing(values)]
    return present, *np.unique(present.astype(str) if present.dtype == object else present, return_counts=True)


def skewness(values: np.ndarray) -> float:
    """Return the skewness of the values of a column; 0 if they are all equal, or have no finite deviation."""
    deviation = values.std()
    if not np.isfinite(deviation) or deviation == 0:
        return 0.0
    return float(np.mean(((values - values.mean()) / deviation) ** 3))


def copies(columns: Mapping[str, np.ndarray], target: str) -> list[str]:
    """Return the names of columns whose values map one to one onto those of the column `target`.

    As inputs, such columns would give the target away.
    """
    classes = unique_inverse(columns[target])[1]
    count = classes.max() + 1
    numbers = {name: unique_inverse(values)[1] for name, values in columns.items() if name != target}
    pairs = {name: each * count + classes for name, each in numbers.items() if each.max() + 1 == count}
    return [name for name, each in pairs.items() if len(np.unique(each)) == count]


def _role(name: str, values: np.ndarray, rows: int) -> Column:
    present, different, counts = distinct(values)
    column = Column(name, "numbers", len(present) < rows, len(different))
    if reason := _says_too_little(column, counts, rows):
        return column.left_out(reason)
    repeats = len(different) >= 5 and len(present) >= 2 * len(different) and not column.has_gaps
    if repeats and present.dtype.kind != "f" and (_GROUP.search(name) or _CAMEL.search(name)):
        return replace(column, role="group", reason="identifier")
    if values.dtype == object:
        return _role_of_text(column, present, different, rows)
    if max(abs(float(different[0])), abs(float(different[-1]))) > MOST:
        return column.left_out(f"values beyond {MOST:g}, too large to be scaled")
    if reason := _identifies(name, present, different):
        return column.left_out(reason)
    numbers = present.astype(np.float64)
    is_skewed = numbers.min() >= 0 and len(different) >= 10 and skewness(numbers) > SKEWED
    return replace(column, role="skewed") if is_skewed else column


def _says_too_little(column: Column, counts: np.ndarray, rows: int) -> str:
    """Return the reason, as text, if too few values of a column differ or are present; '' otherwise.

    `counts` has the number of occurrences of each distinct value.
    """
    total = int(counts.sum())
    if len(counts) < 2:
        return "one value" if len(counts) else "no value"
    if column.has_gaps and total < max(_FEWEST, 0.01 * rows):
        return "nearly all missing"
    return NEARLY_ONE if counts.max() > total - min(_FEWEST_OTHER, total // 5) else ""


def _role_of_text(column: Column, present: np.ndarray, different: np.ndarray, rows: int) -> Column:
    if (form := date_format(different.tolist())) is not None:
        parts = varying_parts(parsed_times(different.tolist(), form or None, "s"))
        is_time = bool(parts) and not _BIRTH.search(column.name)  # dates that differ in the year alone are an attribute
        orders = is_time and not column.has_gaps and not form and len(different) >= min(10, rows / 3)
        return replace(column, role="date", date_format=form, parts=parts, orders=orders)
    words = float(np.mean([len(text.split()) for text in present[:2000].tolist()]))
    is_mostly_new = 2 * len(different) > len(present)
    if words >= PROSE_WORDS and is_mostly_new:
        return replace(column, role="prose", mean_words=words)
    if is_mostly_new or (len(different) > MAX_WORDS and (_is_id(column.name) or _ID_OR_COUNT.search(column.name))):
        return column.left_out(f"{len(different):,} different words")
    return replace(column, role="words")


def _is_id(name: str) -> bool:
    return bool(_ID.search(name) or _CAMEL.search(name))


def _identifies(name: str, values: np.ndarray, different: np.ndarray) -> str:
    """Return the reason, as text, if a column of numbers is an identifier of rows; '' if it may be a measurement."""
    low, high = different[0], different[-1]
    if not _are_integers(different):
        return ""
    if different.dtype.kind != "f" and max(int(high), -int(low)) > 2**53:
        return "an identifier: integers beyond 2**53, which no input holds exactly"
    steps = np.diff(values)  # equal ones are those of a grid
    if len(values) > 2 and (steps == 1).all():
        return "row numbers"
    if len(values) < _FEWEST_IDS or 2 * len(different) <= len(values):
        return ""
    are_unique = len(different) == len(values)
    if _is_id(name) or (_ID_OR_COUNT.search(name) and are_unique):
        return "an identifier, by its name"
    span = int(high) - int(low) + 1
    is_count = span < _SPARSE * len(different) and 0 < steps.min() < steps.max()
    return EACH_ANOTHER if are_unique and (span == len(different) or is_count) else ""


def _are_integers(values: np.ndarray) -> bool:
    return values.dtype.kind in "iuf" and np.array_equal(values, np.floor(values))
