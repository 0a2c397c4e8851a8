"""Precision, recall and F1 of a classifier for each class, and the confusion matrix they are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerascli.foundation.errors import safe_text
from kerascli.report.text_table import text_table


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Precision, recall and F1 of one class; `support` is its number of rows."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


def confusion(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix (true class, predicted class) of two arrays of integer class labels, (rows,)."""
    pairs = y_true.astype(np.int64) * classes + y_pred.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_rows(matrix: np.ndarray, names: Sequence[str]) -> list[ClassRow]:
    """Return precision, recall and F1 of each class from a confusion matrix; 0 where the denominator is 0."""
    hits = np.diag(matrix).astype(float)
    predicted, support = matrix.sum(axis=0), matrix.sum(axis=1)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, support, out=np.zeros_like(hits), where=support > 0)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(hits), where=both > 0)
    columns = zip(names, precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), strict=True)
    return [ClassRow(*row) for row in columns]


def class_table(rows: Sequence[ClassRow]) -> str:
    """Return precision, recall and F1 of all classes as a plain-text table."""
    names = ["class", *(safe_text(row.name) for row in rows)]
    scores = [[name, *(f"{getattr(row, name):.4f}" for row in rows)] for name in ("precision", "recall", "f1")]
    return text_table(names, [*scores, ["support", *(f"{row.support:,}" for row in rows)]])
