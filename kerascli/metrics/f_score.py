"""F scores: weighted harmonic means of precision and recall."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import PositiveFloat, TensorSpec
from kerascli.losses.ranks import spread
from kerascli.metrics.base import Metric, class_names, count_dtype, metric

_EPSILON = 1e-7


class _FScore(Metric):
    """Base class of metrics whose value is the F score of each class, or the average over classes."""

    direction = "max"

    average: Literal["micro", "macro", "weighted"] | None = None
    """Averaging over classes: micro (from the summed counts), macro (unweighted mean) or weighted.

    Weights are the numbers of true samples; null: one value per class, each in its own column.
    """
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    """Outputs above this value are predicted as positive; null: only each sample's largest output is positive."""

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Return the counts (3, classes) of true positives, false positives and false negatives of each class."""
        if self.threshold is None:
            predicted = (y_pred >= y_pred.amax(-1, keepdim=True)) & (y_pred.abs() > 1e-9)
        else:
            predicted = y_pred > self.threshold
        dtype = count_dtype(y_pred)
        p, y = predicted.to(dtype), y_true.to(dtype)
        counts = torch.stack([p * y, p * (1 - y), (1 - p) * y])
        if sample_weight is not None:
            counts = counts * spread(sample_weight.to(dtype), y, "sample weights or a mask")
        return counts.sum(1)

    def result(self, state: Tensor) -> Tensor:
        beta: float = getattr(self, "beta", 1.0)  # f1_score is fbeta_score without this argument
        true_positives, false_positives, false_negatives = state.sum(1) if self.average == "micro" else state
        precision = true_positives / (true_positives + false_positives + _EPSILON)
        recall = true_positives / (true_positives + false_negatives + _EPSILON)
        scores = (1 + beta**2) * precision * recall / (beta**2 * precision + recall + _EPSILON)
        if self.average == "weighted":
            targets = true_positives + false_negatives
            return (scores * targets / (targets.sum() + _EPSILON)).sum()
        return scores if self.average is None else scores.mean()

    def is_defined(self, state: Tensor) -> Tensor:
        occurs = state.sum(0) > 0
        if self.average is None:
            return occurs
        if self.average == "weighted":
            return state[[0, 2]].sum() > 0
        return occurs.any() if self.average == "micro" else occurs.all()

    def value_names(self, output: TensorSpec, classes: Sequence[str] | None) -> tuple[str, ...]:
        return class_names(output, classes) if self.average is None else ()

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        fault = units_fault(self.component_name, output, "classes", by_unit=self.average is None)
        return fault or super().check(target, output)


@metric(name="fbeta_score", aliases=("f_beta_score",))
class FBetaScore(_FScore):
    """F-beta score: (1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall).

    Targets are one-hot or multi-hot of shape (N, classes), like the outputs.
    """

    beta: PositiveFloat = 1.0
    """Weight of recall relative to precision; 1 gives the F1 score."""


@metric(name="f1_score")
class F1Score(_FScore):
    """F1 score, the harmonic mean of precision and recall: 2 * precision * recall / (precision + recall).

    Targets are one-hot or multi-hot of shape (N, classes), like the outputs.
    """


def units_fault(name: str, output: TensorSpec, units: str, *, by_unit: bool) -> str | None:
    """Return an error message if an output has more axes than that of the units, or (`by_unit`) if their number is
    unknown, since the metric has one value per unit; else None."""
    if output.rank > 1:
        return f"'{name}' needs an output of shape (None, {units}), got {output}"
    if by_unit and output.shape == (None,):
        return f"'{name}' has one value per output unit and needs their number, got an output of shape {output}"
    return None
