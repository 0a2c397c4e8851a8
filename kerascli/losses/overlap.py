"""Losses of segmentation: how little the predicted region overlaps the true one."""

from typing import Annotated

from torch import Tensor

from kerascli.losses.base import Loss, loss
from kerascli.losses.crossentropy import EPSILON, Axes
from kerascli.shapes import ALONG, NonNegativeFloat

SummedAxes = Annotated[Axes | None, ALONG]
"""Axes that are summed; None: all, the batch too, as in Keras."""


class _Overlap(Loss):
    """One value for all that is summed; by default that is the batch."""

    def adds_up(self) -> bool:
        axes = getattr(self, "axis", None)
        axes = (axes,) if isinstance(axes, int) else axes
        return super().adds_up() and axes is not None and all(axis > 0 for axis in axes)


@loss()
class Dice(_Overlap):
    """1 - 2 * overlap / (size of one + size of the other)."""

    axis: SummedAxes = None

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        overlap, true, predicted = (x.sum(self.axis) for x in (y_true * y_pred, y_true, y_pred))
        return 1 - 2 * overlap / (true + predicted + EPSILON)


@loss()
class Tversky(_Overlap):
    """1 - overlap / (overlap + alpha * missed + beta * invented)."""

    alpha: NonNegativeFloat = 0.5
    """Weight of false negatives (Keras's page says false positives; its code weighs these)."""
    beta: NonNegativeFloat = 0.5
    """Weight of false positives."""
    axis: SummedAxes = None

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        overlap = (y_true * y_pred).sum(self.axis)
        missed = (y_true * (1 - y_pred)).sum(self.axis)
        invented = (y_pred * (1 - y_true)).sum(self.axis)
        return 1 - overlap / (overlap + missed * self.alpha + invented * self.beta + EPSILON)
