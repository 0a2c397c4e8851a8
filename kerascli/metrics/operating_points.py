"""Metrics at the best threshold at which another metric reaches a required value, such as recall at precision."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import Fraction, NonNegativeInt, TensorSpec
from kerascli.metrics.base import Metric, metric
from kerascli.metrics.confusion import MAX_THRESHOLDS, confusion, even_thresholds, has_targets, outcomes
from kerascli.metrics.precision_recall import of_class, unit_fault


class _OperatingPointMetric(Metric):
    """Base class of metrics that report their best value over the thresholds at which another metric has a minimum.

    The value is the highest over `num_thresholds` thresholds from 0 to 1.
    """

    direction = "max"
    reported: ClassVar[str]
    """Name of the reported metric, a property of `Confusion`."""
    constrained: ClassVar[str]
    """Name of the metric that has a minimum, a property of `Confusion`; the argument with the minimum has it, too."""

    num_thresholds: Annotated[int, Field(ge=1, le=MAX_THRESHOLDS)] = 200
    """Number of evenly spaced thresholds from 0 to 1 to search; 1: the threshold 0.5."""
    class_id: NonNegativeInt | None = None
    """Output unit (class) to evaluate alone; null: all units."""

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        thresholds = [0.5] if self.num_thresholds == 1 else even_thresholds(self.num_thresholds)
        return outcomes(*of_class(self.class_id, y_true, y_pred), sample_weight, thresholds)

    def result(self, state: Tensor) -> Tensor:
        at = confusion(state)
        fits = getattr(at, self.constrained) >= getattr(self, self.constrained)
        return torch.where(fits, getattr(at, self.reported), 0.0).amax()

    def is_defined(self, state: Tensor) -> Tensor:
        return has_targets(state, negatives="specificity" in (self.reported, self.constrained))

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return unit_fault(self, "class_id", output, first=0) or super().check(target, output)

    @classmethod
    def first_argument(cls) -> str | None:
        return cls.constrained


@metric()
class SensitivityAtSpecificity(_OperatingPointMetric):
    """Best sensitivity, TP / (TP + FN), over the thresholds with at least the given specificity, TN / (TN + FP)."""

    reported, constrained = "sensitivity", "specificity"

    specificity: Fraction
    """Minimum specificity that a threshold must reach."""


@metric()
class SpecificityAtSensitivity(_OperatingPointMetric):
    """Best specificity, TN / (TN + FP), over the thresholds with at least the given sensitivity, TP / (TP + FN)."""

    reported, constrained = "specificity", "sensitivity"

    sensitivity: Fraction
    """Minimum sensitivity that a threshold must reach."""


@metric()
class PrecisionAtRecall(_OperatingPointMetric):
    """Best precision, TP / (TP + FP), over the thresholds with at least the given recall, TP / (TP + FN)."""

    reported, constrained = "precision", "recall"

    recall: Fraction
    """Minimum recall that a threshold must reach."""


@metric()
class RecallAtPrecision(_OperatingPointMetric):
    """Best recall, TP / (TP + FN), over the thresholds with at least the given precision, TP / (TP + FP)."""

    reported, constrained = "recall", "precision"

    precision: Fraction
    """Minimum precision that a threshold must reach."""
