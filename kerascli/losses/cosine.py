"""Cosine similarity as a loss: -1 where directions agree, 1 where they are opposite."""

from torch import Tensor

from kerascli.losses.base import Loss, loss
from kerascli.losses.crossentropy import Axes


@loss(aliases=("cosine_proximity",))
class CosineSimilarity(Loss):
    """-sum(l2_norm(y_true) * l2_norm(y_pred)) along `axis`."""

    axis: Axes = -1

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return -cosine_similarity(y_true, y_pred, self.axis)


def cosine_similarity(y_true: Tensor, y_pred: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """The cosine between vectors along `axis`; 0 for a vector of zeros."""
    return (_normalized(y_true, axis) * _normalized(y_pred, axis)).sum(axis)


def _normalized(x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    return x / x.square().sum(axis, keepdim=True).clamp(min=1e-12).sqrt()
