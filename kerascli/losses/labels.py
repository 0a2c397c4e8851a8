"""Ranges of the integer class labels that losses and metrics accept as targets."""

import math
from typing import NamedTuple

import numpy as np

from kerascli.foundation.shapes import TensorSpec


class Labels(NamedTuple):
    """Range of the target values (class labels) that a loss or metric accepts."""

    low: int | None = None
    """Smallest allowed class label; None: no limit."""
    high: int | None = None
    """Largest allowed class label; None: no limit."""
    whole: bool = True
    """True if class labels must be integers, since fractions would be truncated."""
    besides: int | None = None
    """Additional class label that is accepted outside the limits but is no class, such as `ignore_class`."""
    words: str = ""
    """Reason for the limits of class labels, as a text for error messages."""


def class_labels(output: TensorSpec, axis: int = -1, besides: int | None = None) -> Labels:
    """Return the range of integer class labels for an output with one unit per class along `axis` (0 is the batch)."""
    at = axis if axis < 0 else axis - 1
    size = output.shape[at] if -output.rank <= at < output.rank else None
    if size is None:
        return Labels(0, besides=besides, words="class labels start at 0")
    words = f"the output has {size} units, for the classes 0 to {size - 1}"
    return Labels(0, size - 1, besides=besides, words=words)


YES_OR_NO = Labels(0, 1, whole=False, words="binary targets are 0 or 1")
"""Range of binary targets, 0 to 1; fractions between them (soft labels) are allowed."""


def first_invalid(values: np.ndarray, labels: Labels) -> tuple[int, int, object, bool] | None:
    """Return (row, index in the row, value, True if an integer) for the first label that is not allowed, or None."""
    if not values.size:
        return None
    fractions = labels.whole and values.dtype.kind == "f"
    low = -math.inf if labels.low is None else labels.low
    high = math.inf if labels.high is None else labels.high
    within = low <= values.min() and values.max() <= high
    if within and not (fractions and (values != np.trunc(values)).any()):
        return None
    flat = values.reshape(len(values), -1)
    wrong = (flat < low) | (flat > high)
    if labels.besides is not None:
        wrong &= flat != labels.besides
    if fractions:
        wrong |= flat != np.trunc(flat)
    if not wrong.any():
        return None
    row = int(wrong.any(axis=1).argmax())
    index = int(wrong[row].argmax())
    value = flat[row][index].item()
    return row, index, round(value, 7) if isinstance(value, float) else value, value == value // 1
