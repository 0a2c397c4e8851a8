"""Negative cosine similarity as a loss."""

from torch import Tensor

from kerascli.losses.base import Loss, loss
from kerascli.losses.crossentropy import Axes


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
