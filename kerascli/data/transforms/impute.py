"""Impute: a value in place of every missing one, learned from the training rows."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Field, Learned, Transform, transform
from kerascli.data.convert import converted
from kerascli.data.transforms.fitting import float_dtype


@transform()
class Impute(Transform):
    """By feature of the last axis, as scikit-learn's SimpleImputer; missing is nan, or the empty text."""

    needs_rows = True
    fills_missing = True

    strategy: Literal["mean", "median", "most_frequent", "constant"] = "mean"
    fill_value: float | str | None = None
    """What `constant` puts in."""

    @model_validator(mode="after")
    def _value_for_constant(self) -> "Impute":
        if (self.strategy == "constant") != (self.fill_value is not None):
            raise ValueError("'fill_value' goes with strategy 'constant', and only with that")
        return self

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        if field.is_text and self.strategy in {"mean", "median"}:
            raise ValueError(f"text has no {self.strategy}; use most_frequent, or constant with fill_value")
        if (
            self.fill_value is not None
            and field.dtype != "unknown"
            and isinstance(self.fill_value, str) != field.is_text
        ):
            raise ValueError(f"fill_value {self.fill_value!r} does not go with {field.dtype}")
        return field if field.is_text or self._fills_alike() else replace(field, dtype=float_dtype(field))

    def learn(self, values: np.ndarray, field: Field, *, target: bool) -> Learned:
        if field.is_text:
            return Learned({"fill": [self._word(column) for column in _columns(values)]}, {})
        return Learned({}, {"fill": np.array([self._number(column) for column in _columns(values)])})

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        missing = _missing(values)
        fill = np.array(learned.facts["fill"], object) if field.is_text else learned.arrays["fill"]
        filled = np.where(missing, fill if values.ndim > 1 else fill[0], values) if missing.any() else values
        wanted = self.infer(field, learned, target=target).dtype
        return filled if field.is_text else converted(filled, np.dtype(wanted))

    def _fills_alike(self) -> bool:
        """Whether whole numbers stay whole: what is put in is one of them, not a mean that lies between."""
        if isinstance(self.fill_value, float):
            return self.fill_value.is_integer()
        return self.strategy == "most_frequent"

    def _number(self, column: np.ndarray) -> float:
        if isinstance(self.fill_value, float):
            return self.fill_value
        present = column[~_missing(column)]
        if not len(present):
            raise ValueError("a column without a single value; there is nothing to learn from")
        if self.strategy == "most_frequent":
            return float(_most_frequent(present))
        return float(np.median(present) if self.strategy == "median" else np.mean(present, dtype=np.float64))

    def _word(self, column: np.ndarray) -> str:
        if isinstance(self.fill_value, str):
            return self.fill_value
        present = column[~_missing(column)]
        if not len(present):
            raise ValueError("a column without a single value; there is nothing to learn from")
        return str(_most_frequent(present))


def _columns(values: np.ndarray) -> list[np.ndarray]:
    """One flat array a feature."""
    return [values] if values.ndim == 1 else list(values.reshape(-1, values.shape[-1]).T)


def _missing(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.asarray(values == "", bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)


def _most_frequent(present: np.ndarray) -> Any:
    """The smallest of the most frequent values, as in scikit-learn."""
    found, counts = np.unique(present, return_counts=True)
    return found[counts.argmax()]
