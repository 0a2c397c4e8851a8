"""Overlap losses of segmentation: Dice and Tversky."""

from torch import Tensor

from kerascli.foundation.shapes import NonNegativeFloat
from kerascli.losses.base import Loss, loss
from kerascli.losses.crossentropy import EPSILON, Axes


@loss()
class Dice(Loss):
    """Dice loss of segmentation: 1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred)).

    Sums run over `axis`; by default over all axes, the batch included.
    """

    axis: Axes | None = None
    """Axes to sum over; null: all axes, the batch included, as in Keras."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        overlap, true, predicted = (x.sum(self.axis) for x in (y_true * y_pred, y_true, y_pred))
        return 1 - 2 * overlap / (true + predicted + EPSILON)


@loss()
class Tversky(Loss):
    """Tversky loss of segmentation (Salehi et al., 2017): 1 - TP / (TP + alpha * FN + beta * FP).

    TP = sum(y_true * y_pred), FN = sum(y_true * (1 - y_pred)), FP = sum((1 - y_true) * y_pred), over `axis` (by default
    all axes, the batch included). With alpha = beta = 0.5 it is the Dice loss.
    """

    alpha: NonNegativeFloat = 0.5
    """Weight of false negatives (Keras's docs say false positives; its code, and this, weigh false negatives)."""
    beta: NonNegativeFloat = 0.5
    """Weight of false positives (Keras's docs say false negatives; see alpha)."""
    axis: Axes | None = None
    """Axes to sum over; null: all axes, the batch included, as in Keras."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        true_positives = (y_true * y_pred).sum(self.axis)
        false_negatives = (y_true * (1 - y_pred)).sum(self.axis)
        false_positives = (y_pred * (1 - y_true)).sum(self.axis)
        weighted = true_positives + false_negatives * self.alpha + false_positives * self.beta
        return 1 - true_positives / (weighted + EPSILON)
