"""Transform `impute`: replace missing values with a statistic of the training rows or a constant."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Field, FittedState, Inverse, Transform, transform
from kerascli.data.storage.blocks import Blocks, medians, unique_counts
from kerascli.data.storage.convert import converted
from kerascli.data.transforms.input_checks import float_dtype


@transform()
class Impute(Transform):
    """Replaces missing values (nan, or empty text) per feature of the last axis, as scikit-learn's SimpleImputer.

    The shape is kept; mean and median need numbers.
    """

    needs_rows = True
    fills_missing = True
    keeps_numbers = True

    strategy: Literal["mean", "median", "most_frequent", "constant"] = "mean"
    """Replacement: mean, median or most_frequent value of the feature in training, or the constant `fill_value`."""
    fill_value: float | str | None = None
    """Value that replaces missing values, with the strategy constant."""

    @model_validator(mode="after")
    def _value_for_constant(self) -> "Impute":
        if (self.strategy == "constant") != (self.fill_value is not None):
            raise ValueError("'fill_value' is required with strategy 'constant', and allowed only with it")
        return self

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        if field.is_text and self.strategy in {"mean", "median"}:
            raise ValueError(f"text has no {self.strategy}; use most_frequent, or constant with fill_value")
        if (
            self.fill_value is not None
            and field.dtype != "unknown"
            and isinstance(self.fill_value, str) != field.is_text
        ):
            raise ValueError(f"fill_value {self.fill_value!r} does not match dtype {field.dtype}")
        return field if field.is_text or self._fills_alike() else replace(field, dtype=float_dtype(field))

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        features = (field.shape[-1] or 0) if field.shape else 1
        fill = [self.fill_value] * features if self.fill_value is not None else self._statistics(rows)
        if field.is_text:
            return FittedState({"fill": fill}, {})
        return FittedState({}, {"fill": np.array(fill, np.float64)})

    def _statistics(self, rows: Blocks) -> list[Any]:
        """Compute each feature's fill value from the training rows. Raises ValueError if a feature has no values."""
        columns = Blocks(lambda: map(_columns, rows))
        fill = _STATISTICS[self.strategy](columns)
        if None in fill:
            raise ValueError("a column has only missing values; there is nothing to learn from")
        return fill

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        missing = _missing(values)
        fill = np.array(learned.facts["fill"], object) if field.is_text else learned.arrays["fill"]
        filled = np.where(missing, fill if values.ndim > 1 else fill[0], values) if missing.any() else values
        dtype = self.infer(field, learned, target=target).dtype
        return filled if field.is_text else converted(filled, np.dtype(dtype))

    def inverse(self, field: Field, learned: FittedState) -> Inverse | None:
        """Return the function that undoes the transform in predictions: the identity, as they have no missing values.
        None for a target of text."""
        return None if field.is_text else np.asarray

    def _fills_alike(self) -> bool:
        """Return True if integer columns keep their dtype, as the fill value is an integer or an existing value."""
        if isinstance(self.fill_value, float):
            return self.fill_value.is_integer()
        return self.strategy == "most_frequent"


def _columns(values: np.ndarray) -> np.ndarray:
    """Reshape (N, *, F) to (M, F) and (N,) to (N, 1): one column for each feature."""
    return values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)


def _missing(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.asarray(values == "", bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)


def _present(column: np.ndarray) -> np.ndarray:
    return column[~_missing(column)]


def _means(columns: Blocks) -> list[Any]:
    sums = [
        [(column.sum(dtype=np.float64), len(column)) for column in map(_present, part.T)] for part in columns.parts()
    ]
    totals = np.sum(sums, axis=0)  # (F, 2): sum and number of values of each feature
    return [total / rows if rows else None for total, rows in totals.tolist()]


def _medians(columns: Blocks) -> list[Any]:
    whole = columns.alone()
    if whole is None:
        return [value if value == value else None for value in medians(columns).tolist()]
    return [float(np.median(column)) if len(column) else None for column in map(_present, whole.T)]


def _most_frequent(columns: Blocks) -> list[Any]:
    """Return each feature's most frequent value, the smallest one if several tie, as in scikit-learn."""
    fill: list[Any] = []
    for number in range(next(iter(columns)).shape[1]):
        distinct, counts = unique_counts(_present(block[:, number]) for block in columns)
        fill += distinct[counts.argmax() :][:1].tolist() if len(distinct) else [None]
    return fill


_STATISTICS = {"mean": _means, "median": _medians, "most_frequent": _most_frequent}
