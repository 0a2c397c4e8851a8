"""Choose the target column of a table, and decide how to predict it: as a number or as classes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerascli.config.starter.columns import MOST, SKEWED, Roles, distinct, skewness
from kerascli.config.starter.sample import SampledTable
from kerascli.foundation.errors import ConfigError, DataError, Place, safe_text, suggestion

MAX_CLASSES = 20
"""Maximum number of different integers of a target that count as classes, if there are 10 rows for each."""
UNEVEN = 0.85
"""Share of the most frequent class from which on the config weights classes in the loss, since predicting only that
class would look good."""
_FEWEST = 10
"""Minimum number of rows of each class for a split that is stratified by class."""

ARE_UNEVEN = "classes are very uneven: the loss weighs them alike (class_weight)"
BY_OPTION, OTHERWISE = "as --target says", "--target chooses another"
"""Texts about the choice of the target: by the option, or without it."""
_STRONG = ("target", "label", "labels", "class", "classes", "y", "outcome", "response", "output")
_USUAL = re.compile(
    r"(is_)?(fraud|spam|churn(ed)?|survived|default(ed)?|diagnosis|species|sentiment|category|price|sale_?price"
    r"|quality|income|salary|approved|passed|converted|clicked|cancel(l)?ed|disease|medv|charges)",
    re.IGNORECASE,
)
_POSITIVE = ("yes", "true")


@dataclass(frozen=True, slots=True)
class Target:
    """Target column of a table, and the settings of a generated config that follow from the column's values."""

    column: str
    classes: tuple[str, ...] = ()
    """Classes of the target in the order of the model's outputs; empty for a number (regression)."""
    steps: list[Any] = field(default_factory=list)
    """Transforms in the target's pipeline, as the config writes them."""
    where: list[str] = field(default_factory=list)
    """Classes for the row filter `data.where`, which removes rows without a label; empty if all rows have a label."""
    stratify: bool = False
    """True if each class has enough rows to stratify the split by class."""
    balanced: bool = False
    """True if the loss weights classes, since they are very uneven."""
    decisions: list[str] = field(default_factory=list)
    """Reasons for these settings, as texts for comments in the config."""

    def with_vocabulary(self) -> "Target":
        """Return a copy of the target whose lookup has a fixed vocabulary: its classes.

        The training rows may lack some classes.
        """
        lookup = self.steps[-1]
        name = lookup if isinstance(lookup, str) else next(iter(lookup))
        words: list[Any] = list(self.classes) if name == "string_lookup" else list(map(int, self.classes))
        return replace(self, steps=[*self.steps[:-1], {name: {"vocabulary": words}}])


def choose(columns: Roles, option: str | None) -> tuple[str, str]:
    """Return (name of the column to predict, reason as text). Raises ConfigError if the choice is unclear.

    `option` is the value of `--target`; None: chosen by names and roles of the columns.
    """
    if option is not None:
        if option not in columns:
            hint = f"the columns are: {', '.join(map(safe_text, list(columns)[:20]))}"
            raise ConfigError(f"--target: there is no column '{option}'{suggestion(option, columns)}", hint=hint)
        return option, BY_OPTION
    fitting = [name for name, each in columns.items() if each.may_be_value or each.role == "words"]
    if (by_name := _by_name(fitting)) is not None:
        return by_name, "by its name"
    last = list(columns)[-1]
    if last in fitting or columns[last].role == "left out":
        return last, "the last column"
    if len(fitting) == 1:
        return fitting[0], "the only column that can be one"
    content = {"date": "dates", "group": "identifiers", "prose": "texts"}[columns[last].role]
    text = f"which column is the target? The last, '{safe_text(last)}', holds {content}"
    hint = f"--target COLUMN says it, for example --target {safe_text((fitting or list(columns))[-1])}"
    raise ConfigError(text, hint=hint)


def _by_name(names: Sequence[str]) -> str | None:
    """Return the column that is called as targets are: by a word for targets, or as the only one by a usual name."""
    strong = [name for word in _STRONG for name in names if name.lower() == word]
    usual = [name for name in names if _USUAL.fullmatch(name.replace(" ", "_"))]
    return next(iter(strong or (usual if len(usual) == 1 else ())), None)


def describe(table: SampledTable, column: str) -> Target:
    """Decide whether a column to predict is a number or has classes; return it as Target, with its settings.

    Raises DataError if nothing can be learned from the column's values, such as a single value.
    """
    present, different, counts = distinct(table.columns[column])
    gaps = table.rows - len(present)
    _refuse(table, column, present, different, gaps)
    is_text = present.dtype == object
    is_whole = not is_text and bool((present == np.floor(present)).all())
    if is_text or (is_whole and len(different) <= MAX_CLASSES and 10 * len(different) <= len(present)):
        return _classes(column, different, counts, present.dtype, gaps)
    return _number(column, present.astype(np.float64))


def _refuse(table: SampledTable, column: str, present: np.ndarray, different: np.ndarray, gaps: int) -> None:
    """Raise DataError if nothing can be learned from the values of the target: one value, mostly different texts ..."""
    name, place, is_text = safe_text(column), Place(table.name), present.dtype == object
    if len(different) < 2 or (is_text and 2 * len(different) > len(present)):
        count = f"has {len(different):,} different words in {len(present):,} rows"
        names = ", ".join(safe_text(each, 40) for each in list(table.columns)[:20] if each != column)
        text = f"the target '{name}' {'has one value' if len(different) == 1 else count}: nothing to learn"
        hint = f"--target COLUMN chooses another: {names}"
    elif gaps and not (is_text and len(different) <= MAX_CLASSES):
        rows = "1 row" if gaps == 1 else f"{gaps:,} rows"
        text, place = f"the target is missing in {rows}", Place(f"{table.name}:{column}")
        hint = "remove those rows, or choose another target"
    elif not is_text and np.abs(present).max() > MOST:
        text = f"the target '{name}' has values beyond {MOST:g}: too large to be scaled"
        hint = "write them in a larger unit, or as their logarithm"
    else:
        return
    raise DataError(text, place=place, hint=hint)


def _number(column: str, values: np.ndarray) -> Target:
    name = safe_text(column)
    decisions = [f"'{name}' is a number: regression with mean squared error; predictions come back in its units"]
    steps: list[Any] = ["normalization"]
    if values.min() > 0 and skewness(values) > SKEWED:
        steps = ["log", "normalization"]
        decisions.append(f"its logarithm is learned: a few values of '{name}' are far larger than the others")
    return Target(column, steps=steps, decisions=decisions)


def _classes(column: str, different: np.ndarray, counts: np.ndarray, dtype: np.dtype, gaps: int) -> Target:
    is_text, is_float = dtype.kind == "O", dtype.kind not in "Oiu"
    words = [str(int(each) if is_float else each) for each in different.tolist()]
    most = sorted(zip(different.tolist(), counts.tolist(), strict=True), key=lambda each: -each[1])[:4]
    shares = [f"{safe_text(str(each), 20)} {100 * count / counts.sum():.0f} %" for each, count in most]
    listed = ", ".join([*shares, *(["..."] if len(words) > 4 else [])])
    decisions = [f"'{safe_text(column)}' has {len(words)} classes: {listed}"]
    lookup: Any = "string_lookup" if is_text else "integer_lookup"
    classes = tuple(words)
    if len(words) == 2:
        classes = in_order(words, counts.tolist())
        lookup = {lookup: {"positive": classes[1] if is_text else int(classes[1])}}
        positive = safe_text(classes[1], 40)
        decisions.append(f"the positive class is '{positive}': the model predicts its probability")
    uneven = bool(counts.max() >= UNEVEN * counts.sum())
    if uneven:
        decisions.append(f"{ARE_UNEVEN}, so look at more than accuracy")
    if gaps:
        decisions.append(f"{gaps:,} rows without a label are left out (where)")
    stratify = bool(counts.min() >= _FEWEST)
    steps: list[Any] = [*([{"cast": "int64"}] if is_float else []), lookup]
    return Target(column, classes, steps, words if gaps else [], stratify, uneven, decisions)


def in_order(words: Sequence[str], counts: Sequence[int]) -> tuple[str, ...]:
    """Return two class names with the positive one last: the larger integer, yes or true, or the rarer one.

    `words` are the names, `counts` the numbers of rows of the classes.
    """
    first, second = (word.lower() for word in words)
    if all(re.fullmatch(r"-?\d+", word) for word in words):
        is_first = int(first) > int(second)
    elif first in _POSITIVE or second in _POSITIVE:
        is_first = first in _POSITIVE
    else:
        is_first = counts[1] > counts[0]
    return (words[1], words[0]) if is_first else (words[0], words[1])
