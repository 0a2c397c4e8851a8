"""Find the role of each column of a table (numbers, words, prose, date, identifier ...) from its name and values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kerascli.config.starter.dates import date_format, times_of, varying_parts
from kerascli.config.starter.look import Looked

MAX_WORDS = 50
"""Maximum size of the one-hot vocabulary of a column of words; the rarer words share one entry."""
PROSE_WORDS = 4
"""Mean number of words per value from which a column of text counts as prose, which is split into words."""
MOST = 1e150
"""Largest value of a column of numbers; the squares of larger ones, which scaling needs, may exceed float64."""
SKEWED = 3.0
"""Skewness above which the model gets the logarithm of a column of nonnegative numbers."""

Role = Literal["numbers", "skewed", "words", "prose", "date", "group", "left out"]

_FEWEST = 10
"""Minimum number of values of an input column that has missing values; with fewer, training rows may have none."""
_FEWEST_OTHER = 5
"""Minimum number of values other than the most frequent one; with fewer, the training rows may have that one alone.
Of fewer than 25 values a fifth."""
_FEWEST_IDS = 20
"""Minimum number of rows from which on different integers are evidence of an identifier."""
_SPARSE = 5
"""Ratio of the range of increasing integers to their number, below which they are row numbers with gaps."""

NEARLY_ONE = "nearly always one value"
"""Reason for which a column is left out that the training rows may have one value of."""
EACH_ANOTHER = "an identifier, it seems: row numbers with gaps or in another order"
"""Reason for which integers are left out that may be measurements."""

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
    """Role of one column of the table in the generated config; `reason` says why a column is left out."""

    name: str
    role: Role
    has_gaps: bool = False
    different: int = 0
    """Number of distinct values in the column, missing ones not counted."""
    reason: str = ""
    date_format: str = ""
    parts: tuple[str, ...] = ()
    """Parts of a column of dates (month, weekday ...) that vary, as the transform `datetime` names them."""
    orders: bool = False
    """True if the rows can be split by this column: it holds the time of each row, in ISO format."""
    mean_words: float = 0.0
    """Mean number of words per value, for a column of prose (texts of many words)."""

    @property
    def may_be_number(self) -> bool:
        """True for integers that are left out as an identifier without a name that says so."""
        return self.reason == EACH_ANOTHER

    @property
    def many_words(self) -> str:
        """Reason for which a column of too many different words is left out."""
        return _different_words(self.different)


def _different_words(count: int) -> str:
    return f"{count:,} different words"


def study(looked: Looked) -> dict[str, Column]:
    """Return a mapping from each column's name to its role in the generated config."""
    return {name: _study(name, looked.columns[name], looked.rows) for name in looked.columns}


def missing(values: np.ndarray) -> np.ndarray:
    """Return a boolean mask that is True where a value of a column is missing: nan, or an empty text."""
    if values.dtype == object:
        return np.asarray(values == "", bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)


def copies(columns: Mapping[str, np.ndarray], target: str) -> list[str]:
    """Return the names of columns whose values map one to one onto the target's, which makes them useless as inputs."""
    wanted = _numbered(columns[target])
    found: list[str] = []
    for name, values in columns.items():
        if name == target:
            continue
        numbers = _numbered(values)
        if numbers.max() == wanted.max() and len(np.unique(numbers * (wanted.max() + 1) + wanted)) == wanted.max() + 1:
            found.append(name)
    return found


def _numbered(values: np.ndarray) -> np.ndarray:
    return np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)[1].reshape(-1)


def _study(name: str, values: np.ndarray, rows: int) -> Column:
    gaps = missing(values)
    present = values[~gaps]
    has_gaps = bool(gaps.any())
    found, counts = np.unique(present.astype(str) if present.dtype == object else present, return_counts=True)
    if len(found) >= 2 and len(present) < max(_FEWEST, 0.01 * rows) and has_gaps:
        return Column(name, "left out", has_gaps, len(found), "nearly all missing")
    if len(found) < 2:
        return Column(name, "left out", has_gaps, len(found), "one value" if len(found) else "no value")
    if counts.max() > len(present) - min(_FEWEST_OTHER, len(present) // 5):
        return Column(name, "left out", has_gaps, len(found), NEARLY_ONE)
    is_id = bool(_ID.search(name) or _CAMEL.search(name))
    is_named = is_id or bool(_ID_OR_COUNT.search(name))
    repeats = len(found) >= 5 and len(present) >= 2 * len(found) and not has_gaps
    if repeats and present.dtype.kind != "f" and (_GROUP.search(name) or _CAMEL.search(name)):
        return Column(name, "group", has_gaps, len(found), "identifier")
    if values.dtype == object:
        return _study_text(name, present, found, has_gaps=has_gaps, is_named=is_named, rows=rows)
    if max(abs(float(found[0])), abs(float(found[-1]))) > MOST:
        return Column(name, "left out", has_gaps, len(found), f"values beyond {MOST:g}, too large to be scaled")
    if reason := _identifies(present, found, is_id=is_id, is_named=is_named):
        return Column(name, "left out", has_gaps, len(found), reason)
    role: Role = "skewed" if _is_skewed(present.astype(np.float64)) else "numbers"
    return Column(name, role, has_gaps, len(found))


def _study_text(
    name: str, present: np.ndarray, found: np.ndarray, *, has_gaps: bool, is_named: bool, rows: int
) -> Column:
    form = date_format(found.tolist())
    if form is not None:
        times = times_of(found.tolist(), form)
        assert times is not None
        parts = tuple(varying_parts(times))
        is_time = bool(parts) and not _BIRTH.search(name)  # dates that differ in the year alone are an attribute
        orders = is_time and not has_gaps and not form and len(found) >= min(10, rows / 3)
        return Column(name, "date", has_gaps, len(found), date_format=form, parts=parts, orders=orders)
    words = float(np.mean([len(text.split()) for text in present[:2000].tolist()]))
    if words >= PROSE_WORDS and 2 * len(found) > len(present):
        return Column(name, "prose", has_gaps, len(found), mean_words=words)
    if 2 * len(found) > len(present) or (is_named and len(found) > MAX_WORDS):
        return Column(name, "left out", has_gaps, len(found), _different_words(len(found)))
    return Column(name, "words", has_gaps, len(found))


def _identifies(values: np.ndarray, found: np.ndarray, *, is_id: bool, is_named: bool) -> str:
    """Return why a column of numbers is an identifier of rows, not a measurement; '' if it may be one.

    `is_id` is True if its name says so, `is_named` if its name may say so.
    """
    if found.dtype.kind not in "iuf" or not np.array_equal(found, np.floor(found)):
        return ""
    if found.dtype.kind != "f" and max(int(found[-1]), -int(found[0])) > 2**53:
        return "an identifier: integers beyond 2**53, which no input holds exactly"
    if len(values) > 2 and _is_count(values):
        return "row numbers"
    if len(values) < _FEWEST_IDS or 2 * len(found) <= len(values):
        return ""
    if is_id or (is_named and len(found) == len(values)):
        return "an identifier, by its name"
    span = int(found[-1]) - int(found[0]) + 1
    steps = np.diff(values)  # equal ones are those of a grid
    is_count = span < _SPARSE * len(found) and steps.min() > 0 and steps.min() < steps.max()
    return EACH_ANOTHER if len(found) == len(values) and (span == len(found) or is_count) else ""


def _is_count(values: np.ndarray) -> bool:
    return bool((np.diff(values) == 1).all())


def _is_skewed(values: np.ndarray) -> bool:
    deviation = values.std()
    if values.min() < 0 or not np.isfinite(deviation) or deviation == 0 or len(np.unique(values)) < 10:
        return False
    return bool(np.mean(((values - values.mean()) / deviation) ** 3) > SKEWED)
