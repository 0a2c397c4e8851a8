"""Regularizers: penalties on weights or outputs (keras.regularizers)."""

from typing import Literal

import torch
from torch import Tensor

from kerascli.foundation.shapes import NonNegativeFloat, show_shape
from kerascli.parts.base import REGULARIZERS, Regularizer, part

EPSILON = 1e-7


@part(REGULARIZERS)
class L1(Regularizer):
    """L1 penalty: l1 * sum(|x|)."""

    l1: NonNegativeFloat = 0.01
    """L1 regularization factor."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.l1 * x.abs().sum()


@part(REGULARIZERS)
class L2(Regularizer):
    """L2 penalty: l2 * sum(x ** 2)."""

    l2: NonNegativeFloat = 0.01
    """L2 regularization factor."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.l2 * x.square().sum()


@part(REGULARIZERS, name="l1_l2")
class L1L2(Regularizer):
    """L1 and L2 penalty: l1 * sum(|x|) + l2 * sum(x ** 2)."""

    l1: NonNegativeFloat = 0.0
    """L1 regularization factor."""
    l2: NonNegativeFloat = 0.0
    """L2 regularization factor."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.l1 * x.abs().sum() + self.l2 * x.square().sum()


@part(REGULARIZERS, aliases=("orthogonal",))
class OrthogonalRegularizer(Regularizer):
    """Penalty that makes the rows (or columns) of a matrix orthogonal to each other.

    `factor` times the mean absolute cosine similarity over all pairs of different rows (or columns).
    """

    factor: NonNegativeFloat = 0.01
    """Factor by which the penalty is multiplied."""
    mode: Literal["rows", "columns"] = "rows"
    """Vectors of the matrix that become orthogonal to each other: its rows or its columns."""

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim != 2:
            raise ValueError(f"orthogonal_regularizer needs a matrix, got {show_shape(tuple(x.shape))}")
        rows = x if self.mode == "rows" else x.T
        rows = rows * rows.square().sum(1, keepdim=True).rsqrt().clamp(max=1 / EPSILON)
        cosines = (rows @ rows.T) * (1 - torch.eye(len(rows), dtype=x.dtype, device=x.device))
        pairs = max(1.0, len(rows) * (len(rows) - 1) / 2)  # a single row has no pair, and no penalty
        return self.factor * 0.5 * cosines.abs().sum() / pairs
