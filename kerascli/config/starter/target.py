"""Choose the target column of a table, and decide how to predict it: as a number or as classes, with which weights."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kerascli.config.starter.columns import MOST, Column, missing
from kerascli.config.starter.look import Looked
from kerascli.foundation.errors import ConfigError, DataError, Fault, Place, safe_text, suggestion

MAX_CLASSES = 20
"""Maximum number of different integers of a target that count as classes, if there are 10 rows for each."""
UNEVEN = 0.85
"""Share of the most frequent class from which on the config weights classes in the loss, since predicting only that
class would look good."""
_FEWEST = 10
"""Minimum number of rows of each class for a split that is stratified by class."""

AS_GIVEN, OTHERWISE = "as --target says", "--target chooses another"
"""Texts about the choice of the target: by the option, or without it."""
_STRONG = ("target", "label", "labels", "class", "classes", "y", "outcome", "response", "output")
_USUAL = re.compile(
    r"(is_)?(fraud|spam|churn(ed)?|survived|default(ed)?|diagnosis|species|sentiment|category|price|sale_?price"
    r"|quality|income|salary|approved|passed|converted|clicked|cancel(l)?ed|disease|medv|charges)",
    re.IGNORECASE,
)
_POSITIVE = frozenset({
    "yes", "true", "y", "t", "positive", "pos", "fraud", "spam", "malignant", "churned", "default", "failed", "failure",
    "sick", "ill", "disease", "bad", "abnormal", "present", "died", "dead", ">50k",
})  # fmt: skip
_NEGATIVE = frozenset({
    "no", "false", "n", "f", "negative", "neg", "none", "ham", "benign", "good", "normal", "absent", "<=50k",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """Target column of a table, and the settings of the config that follow from its values."""

    column: str
    classes: tuple[str, ...] = ()
    """Classes of the target in the order of the model's outputs; empty for a number (regression)."""
    steps: list[Any] = field(default_factory=list)
    """Transforms in the target's pipeline, as the config writes them."""
    where: list[str] = field(default_factory=list)
    """Classes for the row filter `data.where`, which removes rows without a label; empty if all rows have a label."""
    stratify: bool = False
    balanced: bool = False
    decisions: list[str] = field(default_factory=list)

    def with_vocabulary(self) -> "Target":
        """Return a copy of the target with its classes as the vocabulary of its lookup, since the training rows may
        lack some classes."""
        (lookup,) = [step for step in self.steps if "lookup" in str(step)]
        name = lookup if isinstance(lookup, str) else next(iter(lookup))
        words: list[Any] = list(self.classes) if name == "string_lookup" else list(map(int, self.classes))
        return replace(self, steps=[*self.steps[:-1], {name: {"vocabulary": words}}])

    @property
    def is_binary(self) -> bool:
        """True if the target has two classes, so that one sigmoid unit predicts it."""
        return len(self.classes) == 2


def choose(looked: Looked, columns: Mapping[str, Column], given: str | None) -> tuple[str, str]:
    """Return the name of the column to predict, and the reason as text. Raises ConfigError if the choice is unclear."""
    if given is not None:
        if given not in columns:
            hint = f"the columns are: {', '.join(map(safe_text, list(columns)[:20]))}"
            raise ConfigError(f"--target: there is no column '{given}'{suggestion(given, columns)}", hint=hint)
        return given, AS_GIVEN
    roles = ("numbers", "skewed", "words")
    fitting = [name for name, column in columns.items() if column.role in roles or column.may_be_number]
    for word in _STRONG:
        if found := [name for name in fitting if name.lower() == word]:
            return found[0], "by its name"
    usual = [name for name in fitting if _USUAL.fullmatch(name.replace(" ", "_"))]
    if len(usual) == 1:
        return usual[0], "by its name"
    last = list(columns)[-1]
    if last in fitting or columns[last].role == "left out":
        return last, "the last column"
    if len(fitting) == 1:
        return fitting[0], "the only column that can be one"
    held = {"date": "dates", "group": "identifiers", "prose": "texts"}[columns[last].role]
    text = f"which column is the target? The last, '{safe_text(last)}', holds {held}"
    hint = f"--target COLUMN says it, for example --target {safe_text((fitting or list(columns))[-1])}"
    raise ConfigError(text, hint=hint)


def describe(looked: Looked, column: str) -> Target:
    """Return the target column as a `Target`, to be predicted as a number or as classes. Raises DataError if there is
    nothing to learn."""
    values = looked.columns[column]
    gaps = missing(values)
    present = values[~gaps]
    found, counts = np.unique(present.astype(str) if values.dtype == object else present, return_counts=True)
    name, is_text = safe_text(column), values.dtype == object
    if len(found) < 2 or (is_text and 2 * len(found) > len(present)):
        what = "has one value" if len(found) == 1 else f"has {len(found):,} different words in {len(present):,} rows"
        others = ", ".join(safe_text(each, 40) for each in list(looked.columns)[:20] if each != column)
        hint = f"--target COLUMN chooses another: {others}"
        raise DataError(Fault(f"the target '{name}' {what}: nothing to learn", place=Place(looked.name), hint=hint))
    is_classes = is_text or (
        bool((present == np.floor(present)).all()) and len(found) <= MAX_CLASSES and 10 * len(found) <= len(present)
    )
    if gaps.any() and not (is_text and len(found) <= MAX_CLASSES):
        rows = "1 row" if gaps.sum() == 1 else f"{gaps.sum():,} rows"
        hint = "remove those rows, or choose another target"
        raise DataError(Fault(f"the target is missing in {rows}", place=Place(f"{looked.name}:{column}"), hint=hint))
    if not is_text and np.abs(present).max() > MOST:
        text = f"the target '{name}' has values beyond {MOST:g}: too large to be scaled"
        hint = "write them in a larger unit, or as their logarithm"
        raise DataError(Fault(text, place=Place(looked.name), hint=hint))
    if not is_classes:
        return _number(column, present.astype(np.float64), gaps=bool(gaps.any()))
    return _classes(column, found, counts, values.dtype, int(gaps.sum()))


def _number(column: str, values: np.ndarray, *, gaps: bool) -> Target:
    name = safe_text(column)
    said = [f"'{name}' is a number: regression with mean squared error; predictions come back in its units"]
    steps: list[Any] = ["normalization"]
    skewness = float(np.mean(((values - values.mean()) / (values.std() or 1.0)) ** 3))
    if values.min() > 0 and skewness > 3:
        steps = ["log", "normalization"]
        said.append(f"its logarithm is learned: a few values of '{name}' are far larger than the others")
    return Target(column, steps=steps, decisions=said)


def _classes(column: str, found: np.ndarray, counts: np.ndarray, dtype: np.dtype, gaps: int) -> Target:
    is_text = dtype.kind == "O"
    name, words = safe_text(column), [str(each) for each in found.tolist()]
    said = [f"'{name}' has {len(found)} classes: {_shares(words, counts)}"]
    lookup: Any = "string_lookup" if is_text else "integer_lookup"
    steps: list[Any] = [] if is_text or dtype.kind in "iu" else [{"cast": "int64"}]
    if steps:
        words = [str(int(each)) for each in found.tolist()]
    classes = tuple(words)
    if len(found) == 2:
        positive = positive_class(words, counts.tolist())
        classes = (words[1 - positive], words[positive])
        value: Any = words[positive] if is_text else int(words[positive])
        lookup = {lookup: {"positive": value}}
        said.append(f"the positive class is '{safe_text(words[positive], 40)}': the model predicts its probability")
    uneven = bool(counts.max() >= UNEVEN * counts.sum())
    if uneven:
        said.append("classes are very uneven: the loss weighs them alike (class_weight), so look at more than accuracy")
    if gaps:
        said.append(f"{gaps:,} rows without a label are left out (where)")
    stratify = bool(counts.min() >= _FEWEST) and (is_text or dtype.kind in "iu")
    where = words if gaps else []
    return Target(column, classes, [*steps, lookup], where, stratify, uneven, said)


def positive_class(words: Sequence[str], counts: Sequence[int]) -> int:
    """Return the index of the positive one of two classes: the larger integer, a word like `yes`, or the rarer one."""
    if all(re.fullmatch(r"-?\d+", word) for word in words):
        return 1 if int(words[1]) > int(words[0]) else 0
    lower = [word.lower() for word in words]
    for index in (0, 1):
        if lower[index] in _POSITIVE or lower[1 - index] in _NEGATIVE:
            return index
    return int(counts[1] <= counts[0])


def _shares(words: list[str], counts: np.ndarray) -> str:
    order = np.argsort(-counts, kind="stable")[:4]
    total = counts.sum()
    shares = [f"{safe_text(words[index], 20)} {100 * counts[index] / total:.0f} %" for index in order]
    return ", ".join(shares) + (", ..." if len(words) > 4 else "")
