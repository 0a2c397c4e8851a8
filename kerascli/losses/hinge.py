"""Hinge losses: nothing once an output is far enough on the right side; targets are -1 and 1, or 0 and 1."""

import torch
from torch import Tensor

from kerascli.losses.base import Loss, loss


@loss()
class Hinge(Loss):
    """mean(max(1 - y_true * y_pred, 0))."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _missing(y_true, y_pred).mean(-1)


@loss()
class SquaredHinge(Loss):
    """mean(max(1 - y_true * y_pred, 0) ** 2)."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _missing(y_true, y_pred).square().mean(-1)


@loss()
class CategoricalHinge(Loss):
    """max(1 + the greatest wrong output - the right one, 0); targets are one-hot."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        right = (y_true * y_pred).sum(-1)
        wrong = ((1 - y_true) * y_pred).amax(-1)
        return (wrong - right + 1).clamp(min=0)


def _missing(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """What each output lacks to a margin of 1; a batch of nothing but 0 and 1 is read as -1 and 1, as in Keras."""
    binary = ((y_true == 0) | (y_true == 1)).all()
    signs = torch.where(binary, 2 * y_true - 1, y_true)
    return (1 - signs * y_pred).clamp(min=0)
