"""Transform `normalization`: scale features to mean 0 and variance 1 on the training rows."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.table import BadRow
from kerascli.data.transforms.input_checks import checked_finite, float_dtype, need_numbers
from kerascli.preprocessing.normalization import NormalizationModule, NormalizationSettings, mean_and_variance


@transform()
class Normalization(NormalizationSettings, Transform):
    """Normalizes features to mean 0 and variance 1: `(x - mean) / sqrt(variance)`, as keras.layers.Normalization.

    Statistics are learned from the training rows, or given as `mean` and `variance` together. The shape is kept.
    """

    per_batch = "exact"

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        self.kept(field.shape)
        if self.mean is not None:
            self.fixed(field.shape)
        return replace(field, dtype=float_dtype(field), num_classes=None, classes=None)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        if self.mean is not None:
            mean, variance = self.fixed(field.shape)
            return FittedState({}, {"mean": mean, "variance": variance})
        with np.errstate(over="ignore", invalid="ignore"):
            mean, variance = mean_and_variance(checked_finite(rows, self.component_name), kept=self.kept(field.shape))
        if not np.isfinite(variance).all():
            raise _too_large(rows)
        return FittedState({}, {"mean": mean, "variance": variance})

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return NormalizationModule(state.arrays["mean"], state.arrays["variance"], dtype, invert=self.invert)

    def inverse(self, field: Field, state: FittedState) -> nn.Module:
        mean, variance = state.arrays["mean"], state.arrays["variance"]
        return NormalizationModule(mean, variance, torch.float64, invert=not self.invert)


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
