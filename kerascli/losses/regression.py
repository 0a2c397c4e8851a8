"""Regression losses: averages over the last axis, and the negative cosine similarity."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.foundation.shapes import PositiveFloat
from kerascli.losses.base import Loss, loss
from kerascli.losses.crossentropy import EPSILON, Axes


class RegressionLoss(Loss):
    """Base class of losses of numbers, of which a constant, such as the mean of the targets, is a prediction."""


@loss(aliases=("mse",))
class MeanSquaredError(RegressionLoss):
    """Mean squared error: mean((y_true - y_pred) ** 2) over the last axis."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_true - y_pred).square().mean(-1)


@loss(aliases=("mae",))
class MeanAbsoluteError(RegressionLoss):
    """Mean absolute error: mean(|y_true - y_pred|) over the last axis."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_true - y_pred).abs().mean(-1)


@loss(aliases=("mape",))
class MeanAbsolutePercentageError(RegressionLoss):
    """Mean absolute percentage error: 100 * mean(|y_true - y_pred| / max(|y_true|, 1e-7)) over the last axis."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return 100 * ((y_true - y_pred) / y_true.abs().clamp(min=EPSILON)).abs().mean(-1)


@loss(aliases=("msle",))
class MeanSquaredLogarithmicError(RegressionLoss):
    """Mean squared logarithmic error: mean((log(1 + y_true) - log(1 + y_pred)) ** 2) over the last axis.

    Negative values of either are replaced by 0 (1e-7, as in Keras).
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        predicted, true = (x.clamp(min=EPSILON).log1p() for x in (y_pred, y_true))
        return (predicted - true).square().mean(-1)


@loss(aliases=("logcosh",))
class LogCosh(RegressionLoss):
    """Log-cosh error: mean(log(cosh(y_pred - y_true))) over the last axis.

    Near x ** 2 / 2 for small errors x, near |x| - log(2) for large ones.
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        error = y_pred - y_true
        return (error + F.softplus(-2 * error) - math.log(2)).mean(-1)


@loss()
class Huber(RegressionLoss):
    """Huber loss: mean of 0.5 * error ** 2 where |error| <= delta, else of delta * |error| - 0.5 * delta ** 2."""

    delta: PositiveFloat = 1.0
    """Absolute error above which the loss is linear instead of quadratic."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        error = (y_pred - y_true).abs()
        line = self.delta * error - 0.5 * self.delta**2
        return torch.where(error <= self.delta, 0.5 * error.square(), line).mean(-1)


@loss()
class Poisson(RegressionLoss):
    """Poisson loss of counts: mean(y_pred - y_true * log(y_pred + 1e-7)) over the last axis."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_pred - y_true * (y_pred + EPSILON).log()).mean(-1)


@loss(aliases=("kld", "kullback_leibler_divergence"))
class KLDivergence(RegressionLoss):
    """Kullback-Leibler divergence of distributions: sum(y_true * log(y_true / y_pred)) over the last axis.

    Both are clipped to [1e-7, 1].
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true, y_pred = y_true.clamp(EPSILON, 1), y_pred.clamp(EPSILON, 1)
        return (y_true * (y_true / y_pred).log()).sum(-1)


@loss(aliases=("cosine_proximity",))
class CosineSimilarity(Loss):
    """Negative cosine similarity: -sum(l2_normalize(y_true) * l2_normalize(y_pred)) along `axis`.

    -1 for vectors of the same direction, 0 for orthogonal ones, 1 for opposite ones.
    """

    axis: Axes = -1

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return -cosine_similarity(y_true, y_pred, self.axis)


def cosine_similarity(y_true: Tensor, y_pred: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """Compute the cosine of the angle between vectors along `axis`; 0 for a zero vector."""
    return (_normalized(y_true, axis) * _normalized(y_pred, axis)).sum(axis)


def _normalized(x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    return x / x.square().sum(axis, keepdim=True).clamp(min=1e-12).sqrt()
