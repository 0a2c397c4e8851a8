"""Transform `zca_whitening`: values that are uncorrelated and of variance 1, as close to the original as can be."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.transforms.input_checks import checked_finite, computed
from kerascli.foundation.shapes import PositiveFloat
from kerascli.preprocessing.function import Constant

MOST_VALUES = 4096
"""Maximum number of values of a row: their covariance has the square of it."""


@transform()
class ZcaWhitening(Transform):
    """Whitens rows, pictures above all (ZCA; Bell and Sejnowski, 1997): values become uncorrelated, of variance 1.

    `(x - mean) @ W`, where W is the inverse square root of the covariance of the training rows' values; the shape is
    kept. As `zca_whitening` of Keras's ImageDataGenerator, but for the mean: here each value has its own.
    """

    epsilon: PositiveFloat = 1e-6
    """Small constant, which is added, divided by sqrt(rows), to the deviations along the principal axes."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        made = computed(field)
        if not field.shape or None in field.shape:
            raise ValueError(f"needs rows of several values of a known shape, got shape {field.shape}")
        if (count := math.prod(size or 0 for size in field.shape)) > MOST_VALUES:
            text = f"needs rows of at most {MOST_VALUES:,} values, got {count:,}: their covariance has the square of it"
            raise ValueError(f"{text}; image_size: [32, 32] makes pictures smaller")
        return made

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        count, near, total, products = 0, np.zeros(()), np.zeros(()), np.zeros(())
        for part in checked_finite(rows, "zca_whitening"):
            values = part.reshape(len(part), -1).astype(np.float64)
            near = near if count else values.mean(0)  # so that all digits of differences count
            values -= near
            count, total, products = count + len(values), total + values.sum(0), products + values.T @ values
        rest = total / count
        variances, directions = np.linalg.eigh(products / count - np.outer(rest, rest))
        varies = variances > variances[-1] * len(variances) * np.finfo(np.float64).eps  # else they are rounding errors
        deviations = np.sqrt(variances[varies]) + self.epsilon / math.sqrt(count)
        matrix = (directions[:, varies] / deviations) @ directions[:, varies].T
        return FittedState({}, {"mean": near + rest, "matrix": matrix})

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        constants = (torch.tensor(state.arrays[name], dtype=dtype) for name in ("mean", "matrix"))
        return Constant(_whitened, *constants, dtype=dtype)


def _whitened(x: Tensor, mean: Tensor, matrix: Tensor) -> Tensor:  # (N, *) -> (N, *)
    return ((x.flatten(1) - mean) @ matrix).reshape(x.shape)
