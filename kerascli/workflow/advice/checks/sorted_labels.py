"""Advice check: warns of rows sorted by class if `validation_split` takes the last rows for validation."""

from collections.abc import Iterator

import numpy as np

from kerascli.data.storage.blocks import distinct
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import Fault, safe_text
from kerascli.workflow.advice.case import Case, warning

_MOST_CLASSES = 100_000
"""Maximum number of distinct values of a column that is taken for class labels."""

_FEWEST_ROWS = 10
_PATH = ("fit", "validation_split")
_HINT = "data: {split: {validation: 0.2}} draws the rows at random"


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each target whose classes `validation_split` seems to put apart in training and
    validation."""
    head, tail = case.tables.get("train"), case.tables.get("validation")
    if case.config.validation_split <= 0 or head is None or tail is None:
        return
    for _, pipeline in case.targets():
        column = pipeline.columns[0]
        apart = any(step.transform.splits_values for step in pipeline.steps)
        if len(pipeline.columns) == 1 and not apart and _has_classes(head.column(column)):
            text = _difference_of_classes(column, head, tail)
            if text:
                yield warning(f"validation_split takes the last rows, {text}", _PATH, _HINT)


def _difference_of_classes(column: str, head: Table, tail: Table) -> str:
    most = min(max(20, head.rows // 10), _MOST_CLASSES)
    classes, there = distinct(head.column(column), most), distinct(tail.column(column), most)
    if classes is None or there is None or len(classes | there) > most:
        return ""
    new = sorted(there - classes)
    if new:
        names = ", ".join(f"'{safe_text(str(name), 40)}'" for name in new[:5]) + (", ..." if len(new) > 5 else "")
        said = f"and they have classes of '{column}' that the training rows lack: {names}"
        return f"{said}; the rows seem to be sorted"
    if len(classes) > 1 and head.rows + tail.rows >= _FEWEST_ROWS and _is_sorted(head, tail, column):
        names = ", ".join(f"'{safe_text(str(name), 40)}'" for name in sorted(there)[:5])
        return f"and the rows are sorted by '{column}': the validation rows are all of {names}"
    return ""


def _has_classes(values: Values) -> bool:
    """Return True if a column holds classes: one string or integer per row (integers may be stored as floats)."""
    if values.ndim != 1 or is_ragged(values):
        return False
    if values.dtype.kind != "f":
        return True
    return isinstance(values, np.ndarray) and bool(
        (values == np.floor(values)).all()
    )  # a missing value is nan: no class


def _is_sorted(head: Table, tail: Table, column: str) -> bool:
    values = [head.column(column), tail.column(column)]
    if not all(isinstance(each, np.ndarray) for each in values):
        return False
    whole = np.concatenate([each for each in values if isinstance(each, np.ndarray)])
    later, earlier = whole[1:], whole[:-1]
    return bool((later >= earlier).all() or (later <= earlier).all())
