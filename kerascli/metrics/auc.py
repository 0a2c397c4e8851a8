"""AUC: area under the ROC or the precision-recall curve, from confusion counts at thresholds."""

from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from kerascli.foundation.shapes import Floats, PositiveInt, TensorSpec
from kerascli.losses.crossentropy import FromLogits
from kerascli.metrics.base import Metric, metric, ratio
from kerascli.metrics.confusion import MAX_THRESHOLDS, Confusion, confusion, even_thresholds, has_targets, outcomes

_EPSILON = 1e-7
_HEIGHTS = {"interpolation": lambda a, b: (a + b) / 2, "minoring": torch.minimum, "majoring": torch.maximum}
"""Mapping from the summation method to the height of a strip below the curve, given the curve at both ends."""


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


@metric()
class AUC(Metric):
    """Area under the ROC or the precision-recall curve, approximated at thresholds between 0 and 1.

    Targets are 0 or 1, outputs probabilities. With `multi_label`, the mean of the areas of the labels.
    """

    direction = "max"

    num_thresholds: Annotated[int, Field(ge=2, le=MAX_THRESHOLDS)] = 200
    """Number of evenly spaced thresholds from 0 to 1 at which the curve is evaluated."""
    curve: Annotated[Literal["ROC", "PR"], BeforeValidator(_upper)] = "ROC"
    """Curve: ROC (true over false positive rate) or PR (precision over recall)."""
    summation_method: Literal["interpolation", "minoring", "majoring"] = "interpolation"
    """Riemann sum: minoring (lower bound), majoring (upper bound) or interpolation (trapezoids).

    Interpolation of PR is that of Davis and Goadrich (2006).
    """
    thresholds: Floats | None = None
    """Thresholds from 0 to 1 that replace the num_thresholds evenly spaced ones; both ends, 0 and 1, are added."""
    multi_label: bool = False
    """Compute one area per output unit (label) and average them; false: flatten all labels into one."""
    num_labels: PositiveInt | None = None
    """Number of labels (output units) with multi_label; null: the number of output units."""
    label_weights: Floats | None = None
    """Weight of each label: of its area with multi_label, else of its predictions."""
    from_logits: FromLogits = False

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.num_labels is not None and not self.multi_label:
            raise ValueError("'num_labels' is for multi_label: true")
        if outside := [t for t in self.thresholds or () if not 0 <= t <= 1]:
            raise ValueError(f"thresholds: expected numbers from 0 to 1, got {outside[0]}")
        return self

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        if self.from_logits:
            y_pred = y_pred.sigmoid()
        inner = even_thresholds(self.num_thresholds)[1:-1] if self.thresholds is None else sorted(self.thresholds)
        # all outputs are above the first threshold and none above the last, so that both ends of the curve are included
        edges = [-_EPSILON, *inner, 1 + _EPSILON]
        by_label = self.multi_label or self.label_weights is not None
        return outcomes(y_true, y_pred, sample_weight, edges, by_label=by_label)

    def result(self, state: Tensor) -> Tensor:
        state = state.cpu()
        weights = None if self.label_weights is None else torch.tensor(self.label_weights, dtype=state.dtype)
        if weights is not None and not self.multi_label:
            state = state @ weights
        area = self._area(confusion(state))
        if not self.multi_label:
            return area
        return area.mean() if weights is None else ratio((area * weights).sum(), weights.sum())

    def is_defined(self, state: Tensor) -> Tensor:
        state = state if self.multi_label or self.label_weights is None else state.sum(-1)
        return has_targets(state, negatives=self.curve == "ROC")

    def _area(self, at: Confusion) -> Tensor:
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated_pr_area(at)
        x, y = (at.false_positive_rate, at.recall) if self.curve == "ROC" else (at.recall, at.precision)
        return ((x[:-1] - x[1:]) * _HEIGHTS[self.summation_method](y[:-1], y[1:])).sum(0)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        labels = output.shape[-1] if output.shape else 1
        number = self.num_labels if self.label_weights is None else len(self.label_weights)
        if number is not None and labels is not None and number != labels:
            return f"'{self.component_name}' is configured for {number} labels, but the output {output} has {labels}"
        return super().check(target, output)


def _interpolated_pr_area(at: Confusion) -> Tensor:
    """Compute the area under the precision-recall curve, interpolating true positives linearly over predicted
    positives.

    Precision itself is not interpolated linearly; see Davis and Goadrich (2006).
    """
    true_positives, positives = at.true_positives, at.true_positives + at.false_positives
    gained = true_positives[:-1] - true_positives[1:]
    slope = ratio(gained, positives[:-1] - positives[1:])
    intercept = true_positives[1:] - slope * positives[1:]
    both = (positives[:-1] > 0) & (positives[1:] > 0)
    growth = torch.where(both, ratio(positives[:-1], positives[1:]), 1.0)
    return ratio(slope * (gained + intercept * growth.log()), (true_positives + at.false_negatives)[1:]).sum(0)
