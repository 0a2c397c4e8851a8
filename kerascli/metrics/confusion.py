"""Counts of true and false positives and negatives at thresholds, from which metrics such as AUC are computed."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kerascli.losses.ranks import spread
from kerascli.metrics.base import count_dtype, ratio


class Confusion(NamedTuple):
    """Sums of weights of true and false positives and negatives at T thresholds: shape (T,), or (T, L) for L labels."""

    true_positives: Tensor
    false_positives: Tensor
    true_negatives: Tensor
    false_negatives: Tensor

    @property
    def positives(self) -> Tensor:
        return self.true_positives + self.false_negatives

    @property
    def predicted_positives(self) -> Tensor:
        return self.true_positives + self.false_positives

    @property
    def precision(self) -> Tensor:
        return ratio(self.true_positives, self.predicted_positives)

    @property
    def recall(self) -> Tensor:
        return ratio(self.true_positives, self.positives)

    @property
    def false_positive_rate(self) -> Tensor:
        """False positive rate: the fraction of negative targets that are predicted as positive."""
        return ratio(self.false_positives, self.true_negatives + self.false_positives)

    @property
    def specificity(self) -> Tensor:
        return ratio(self.true_negatives, self.true_negatives + self.false_positives)

    sensitivity = recall


MAX_THRESHOLDS = 2**20
"""Maximum number of thresholds, since each is compared with every prediction of a batch."""


def even_thresholds(count: int) -> list[float]:
    """Return `count` evenly spaced thresholds from 0 to 1, both included."""
    return [i / (count - 1) for i in range(count)]


def outcomes(
    y_true: Tensor,
    y_pred: Tensor,
    sample_weight: Tensor | None,
    thresholds: Sequence[float],
    *,
    by_label: bool = False,
    even: bool | None = None,
) -> Tensor:
    """Sum the weights of positive and of negative targets, grouped by how many thresholds their outputs exceed.

    Returns an additive state of shape (2, T + 1), or (2, T + 1, L) by label (the last axis); `confusion` decodes it.
    `thresholds` are in ascending order. `even`: they are evenly spaced from 0 to 1; None: determine it.
    """
    places, labels = len(thresholds) + 1, y_pred.shape[-1] if by_label else 1
    even = are_even(thresholds) if even is None else even
    cell = torch.where(y_true.bool(), 0, places) + _passed(y_pred, thresholds, even)
    if by_label:
        cell = cell * labels + torch.arange(labels, device=cell.device)
    counts = sums_by_cell(cell, sample_weight, 2 * places * labels)
    return counts.view(2, places, labels) if by_label else counts.view(2, places)


def sums_by_cell(cell: Tensor, sample_weight: Tensor | None, count: int) -> Tensor:
    """Return the sum of the weights of all values in each of `count` cells; `cell` has the number of each value's."""
    dtype = count_dtype(cell)
    weight = torch.ones((), dtype=dtype, device=cell.device)
    if sample_weight is not None:
        weight = spread(sample_weight.to(dtype), cell, "sample weights or a mask")
    sums = torch.zeros(count, dtype=dtype, device=cell.device)
    # CUDA is deterministic for a flat scatter only
    return sums.scatter_add_(0, cell.flatten(), weight.expand(cell.shape).flatten())


def confusion(state: Tensor) -> Confusion:
    """Return the counts of true and false positives and negatives at each threshold, from the state that `outcomes`
    computes; on the CPU, where cumsum is deterministic."""
    above = state.cpu().flip(1).cumsum(1).flip(1)
    everything, (true_positives, false_positives) = above[:, :1], above[:, 1:]
    return Confusion(true_positives, false_positives, everything[1] - false_positives, everything[0] - true_positives)


def has_targets(state: Tensor, *, negatives: bool) -> Tensor:
    """Return True (a scalar) if a state that `outcomes` computes has positive targets, and negative ones if wanted; by
    label, if each label has them."""
    return (state.sum(1)[: 1 + negatives] > 0).all()


def top_k_only(y_pred: Tensor, k: int) -> Tensor:
    """Return predictions in which all but the `k` largest of each row are replaced by a number below any threshold."""
    chosen = torch.zeros_like(y_pred, dtype=torch.bool).scatter(-1, y_pred.topk(k, dim=-1).indices, True)
    return torch.where(chosen, y_pred, BELOW_ALL)


BELOW_ALL = -1e10


def _passed(y_pred: Tensor, thresholds: Sequence[float], even: bool) -> Tensor:
    """Return an int64 tensor with the number of thresholds that each prediction exceeds."""
    y_pred = y_pred.nan_to_num(nan=float("-inf"))
    if not even:
        # compared one by one, since a tensor of thresholds would be copied to the device with every batch
        return torch.stack([y_pred > threshold for threshold in thresholds]).sum(0)
    # Keras computes the bucket of evenly spaced thresholds; the same rounding applies at the edges
    passed = (y_pred.clamp(0, 1) * (len(thresholds) - 1)).ceil().long()
    return passed.clamp(min=1) if thresholds[0] < 0 else passed


def are_even(thresholds: Sequence[float]) -> bool:
    """Return True if the thresholds are evenly spaced from 0 to 1, in ascending order."""
    return len(thresholds) >= 3 and all(
        abs(t - even) <= 1e-7 + 1e-5 * even
        for t, even in zip(thresholds, even_thresholds(len(thresholds)), strict=True)
    )
