"""Transform `normalization`: scale features to mean 0 and variance 1 on the training rows."""

from dataclasses import replace
from functools import partial

import numpy as np
from torch import nn

from kerascli.data.base import EXACT_IN_FLOAT32, Field, FittedState, Inverse, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.table import BadRow
from kerascli.data.transforms.input_checks import checked_finite, float_dtype, need_numbers
from kerascli.preprocessing.normalization import (
    NormalizationModule,
    NormalizationSettings,
    deviation_of,
    mean_and_variance,
    normalize,
)


@transform()
class Normalization(NormalizationSettings, Transform):
    """Normalizes features to mean 0 and variance 1: `(x - mean) / sqrt(variance)`, as keras.layers.Normalization.

    Statistics are learned from the training rows, or given as `mean` and `variance` together. The shape is kept.
    """

    needs_rows = True

    def in_batch(self, field: Field) -> bool:
        return field.dtype in EXACT_IN_FLOAT32

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        self.kept(field.shape)
        if self.mean is not None:
            self.fixed(field.shape)
        return replace(field, dtype=float_dtype(field), num_classes=None, classes=None)

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        if self.mean is not None:
            mean, variance = self.fixed(field.shape)
            return FittedState({}, {"mean": mean, "variance": variance})
        with np.errstate(over="ignore", invalid="ignore"):
            mean, variance = mean_and_variance(checked_finite(rows, self.component_name), kept=self.kept(field.shape))
        if not np.isfinite(variance).all():
            raise _too_large(rows)
        return FittedState({}, {"mean": mean, "variance": variance})

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        mean, deviation = learned.arrays["mean"], deviation_of(learned.arrays["variance"])
        return normalize(values, mean, deviation, invert=self.invert)

    def batch(self, field: Field, learned: FittedState, *, target: bool) -> nn.Module:
        return NormalizationModule(learned.arrays["mean"], learned.arrays["variance"], invert=self.invert)

    def inverse(self, field: Field, learned: FittedState) -> Inverse:
        mean, deviation = learned.arrays["mean"], deviation_of(learned.arrays["variance"])
        return partial(normalize, mean=mean, deviation=deviation, invert=not self.invert)


def _too_large(rows: Blocks) -> BadRow:
    """Return the BadRow error for the first row with a value whose square overflows float64.
    If there is none, the error is about the sum of the squares."""
    largest = np.sqrt(np.finfo(np.float64).max) / 2
    for part in rows.parts():
        flat = np.abs(part.reshape(len(part), -1))
        if (flat > largest).any():
            row = int((flat > largest).any(axis=1).argmax())
            return BadRow(row, f"{flat[row].max():g} is too large to normalize: its square is beyond float64")
    return BadRow(0, "the squares of these rows add up to more than float64 holds")
