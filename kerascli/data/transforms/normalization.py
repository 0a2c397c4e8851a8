"""Normalization: every feature to mean 0 and variance 1, as learned from the training rows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, model_validator
from torch import nn

from kerascli.data.base import EXACT_IN_FLOAT32, Field, Learned, Transform, transform
from kerascli.data.blocks import Blocks
from kerascli.data.table import BadRow
from kerascli.data.transforms.fitting import float_dtype, need_numbers
from kerascli.preprocessing.normalization import NormalizationModule, mean_and_variance, normalize
from kerascli.shapes import Floats


def _listed(value: object) -> object:
    return (float(value),) if isinstance(value, int | float) and not isinstance(value, bool) else value


Numbers = Annotated[Floats, BeforeValidator(_listed)]


@transform()
class Normalization(Transform):
    """Shifts and scales by feature of the last axis; `mean` and `variance` may be given, together."""

    needs_rows = True

    axis: Literal[-1] | None = -1
    """-1: a mean for every feature; null: one mean for all values."""
    mean: Numbers | None = None
    variance: Numbers | None = None

    @model_validator(mode="after")
    def _together(self) -> "Normalization":
        if (self.mean is None) != (self.variance is None):
            raise ValueError("give 'mean' and 'variance' both, or neither")
        if any(value < 0 for value in self.variance or ()):
            raise ValueError("variance: must be at least 0")
        return self

    def in_batch(self, field: Field) -> bool:
        return field.dtype in EXACT_IN_FLOAT32

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        need_numbers(field)
        features = field.shape[-1] if field.shape and self.axis is not None else 1
        for name, given in (("mean", self.mean), ("variance", self.variance)):
            if given is not None and features is not None and len(given) not in (1, features):
                raise ValueError(f"{name}: expected {features} values, one a feature, got {len(given)}")
        return replace(field, dtype=float_dtype(field), num_classes=None, classes=None)

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> Learned:
        if self.mean is not None and self.variance is not None:
            return Learned({}, {"mean": _vector(self.mean), "variance": _vector(self.variance)})
        mean, variance = mean_and_variance(_present(rows), by_feature=self.axis is not None)
        constant = np.flatnonzero(np.atleast_1d(variance) == 0)
        warnings = (_constant(constant, np.size(variance)),) if len(constant) else ()
        return Learned({}, {"mean": mean, "variance": variance}, warnings)

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        return normalize(values, learned.arrays["mean"], learned.arrays["variance"])

    def batch(self, field: Field, learned: Learned, *, target: bool) -> nn.Module:
        return NormalizationModule(learned.arrays["mean"], learned.arrays["variance"])


def _present(rows: Blocks) -> Iterator[np.ndarray]:
    for part in rows.parts():
        bad = ~np.isfinite(part).reshape(len(part), -1).all(axis=1)
        if bad.any():
            raise BadRow(int(bad.argmax()), "missing value", hint="put impute before normalization")
        yield part


def _vector(values: Sequence[float]) -> np.ndarray:
    """One number for all features, or one a feature."""
    return np.array(values if len(values) > 1 else values[0], np.float64)


def _constant(features: np.ndarray, count: int) -> str:
    if len(features) > 1:
        return f"{len(features)} of {count} features are constant; they become 0"
    return f"feature {features[0] + 1} of {count} is constant; it becomes 0"
