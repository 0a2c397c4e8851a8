"""Losses of regression: how far numbers are from numbers, as a mean over the last axis."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.losses.base import Loss, loss
from kerascli.losses.crossentropy import EPSILON
from kerascli.shapes import PositiveFloat


@loss(aliases=("mse",))
class MeanSquaredError(Loss):
    """mean((y_true - y_pred) ** 2)."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_true - y_pred).square().mean(-1)


@loss(aliases=("mae",))
class MeanAbsoluteError(Loss):
    """mean(|y_true - y_pred|)."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_true - y_pred).abs().mean(-1)


@loss(aliases=("mape",))
class MeanAbsolutePercentageError(Loss):
    """100 * mean(|y_true - y_pred| / |y_true|)."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return 100 * ((y_true - y_pred) / y_true.abs().clamp(min=EPSILON)).abs().mean(-1)


@loss(aliases=("msle",))
class MeanSquaredLogarithmicError(Loss):
    """mean((log(1 + y_true) - log(1 + y_pred)) ** 2); what is below 0 counts as 0."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        predicted, true = (x.clamp(min=EPSILON).log1p() for x in (y_pred, y_true))
        return (predicted - true).square().mean(-1)


@loss(aliases=("logcosh",))
class LogCosh(Loss):
    """mean(log(cosh(y_pred - y_true))): a square near 0, a straight line far from it."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        error = y_pred - y_true
        return (error + F.softplus(-2 * error) - math.log(2)).mean(-1)


@loss()
class Huber(Loss):
    """Half the square of errors up to `delta`, a straight line beyond."""

    delta: PositiveFloat = 1.0
    """From where on errors count linearly."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        error = (y_pred - y_true).abs()
        line = self.delta * error - 0.5 * self.delta**2
        return torch.where(error <= self.delta, 0.5 * error.square(), line).mean(-1)


@loss()
class Poisson(Loss):
    """mean(y_pred - y_true * log(y_pred)): for counts."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_pred - y_true * (y_pred + EPSILON).log()).mean(-1)


@loss(aliases=("kld", "kullback_leibler_divergence"))
class KLDivergence(Loss):
    """sum(y_true * log(y_true / y_pred)) over the last axis: between distributions."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true, y_pred = y_true.clamp(EPSILON, 1), y_pred.clamp(EPSILON, 1)
        return (y_true * (y_true / y_pred).log()).sum(-1)
