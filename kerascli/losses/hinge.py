"""Hinge losses, zero for outputs on the correct side by a margin of 1; targets are -1 and 1, or 0 and 1."""

import torch
from torch import Tensor

from kerascli.losses.base import Loss, loss


@loss()
class Hinge(Loss):
    """Hinge loss: mean(max(1 - y_true * y_pred, 0)) over the last axis.

    Targets are -1 or 1; a batch whose targets are all 0 or 1 is converted to -1 and 1.
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _margin_shortfall(y_true, y_pred).mean(-1)


@loss()
class SquaredHinge(Loss):
    """Squared hinge loss: mean(max(1 - y_true * y_pred, 0) ** 2) over the last axis.

    Targets are -1 or 1; a batch whose targets are all 0 or 1 is converted to -1 and 1.
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return _margin_shortfall(y_true, y_pred).square().mean(-1)


@loss()
class CategoricalHinge(Loss):
    """Multi-class hinge loss: max(1 + neg - pos, 0), with one-hot targets.

    pos is the output of the true class, sum(y_true * y_pred); neg the largest of the others,
    max((1 - y_true) * y_pred).
    """

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        right = (y_true * y_pred).sum(-1)
        return (((1 - y_true) * y_pred).amax(-1) - right + 1).clamp(min=0)


def _margin_shortfall(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Return the hinge max(1 - y_true * y_pred, 0); as in Keras, targets that are all 0 or 1 become -1 or 1."""
    signs = torch.where(((y_true == 0) | (y_true == 1)).all(), 2 * y_true - 1, y_true)
    return (1 - signs * y_pred).clamp(min=0)
