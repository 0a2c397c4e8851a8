"""Metrics at the best threshold at which another metric reaches a required value, such as recall at precision."""

from abc import abstractmethod
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import Fraction, NonNegativeInt, TensorSpec
from kerascli.metrics.base import Metric, metric, shape_fault
from kerascli.metrics.confusion import MAX_THRESHOLDS, Confusion, confusion, even_thresholds, has_targets, outcomes


class _OperatingPointMetric(Metric):
    """Base class of metrics that report their best value over the thresholds at which another metric has a minimum.

    The value is the highest over `num_thresholds` thresholds from 0 to 1.
    """

    direction = "max"
    needs_negatives: ClassVar[bool] = False
    """True if the metric is undefined without negative targets; without positive ones it always is."""

    num_thresholds: Annotated[int, Field(ge=1, le=MAX_THRESHOLDS)] = 200
    """Number of evenly spaced thresholds from 0 to 1 to search; 1: the threshold 0.5."""
    class_id: NonNegativeInt | None = None
    """Output unit (class) to evaluate alone; null: all units."""

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        if self.class_id is not None:
            one = slice(self.class_id, self.class_id + 1)
            y_true, y_pred = y_true[..., one], y_pred[..., one]
        thresholds = [0.5] if self.num_thresholds == 1 else even_thresholds(self.num_thresholds)
        return outcomes(y_true, y_pred, sample_weight, thresholds)

    def result(self, state: Tensor) -> Tensor:
        reported, constrained, minimum = self._curve(confusion(state))
        return torch.where(constrained >= minimum, reported, 0.0).amax()

    def is_defined(self, state: Tensor) -> Tensor:
        return has_targets(state, negatives=self.needs_negatives)

    @abstractmethod
    def _curve(self, at: Confusion) -> tuple[Tensor, Tensor, float]:
        """Return the reported and the constrained metric at each threshold, and the constrained one's minimum."""

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        outputs = output.shape[-1] if output.shape else 1
        if self.class_id is not None and outputs is not None and self.class_id >= outputs:
            name = self.component_name
            return f"'{name}': class_id is {self.class_id}, but the output {output} has {outputs} classes"
        return shape_fault(self.component_name, target, output)

    @classmethod
    def first_argument(cls) -> str | None:
        return next(name for name in cls.model_fields if name not in _OperatingPointMetric.model_fields)


@metric()
class SensitivityAtSpecificity(_OperatingPointMetric):
    """Best sensitivity, TP / (TP + FN), over the thresholds with at least the given specificity, TN / (TN + FP)."""

    needs_negatives = True

    specificity: Fraction
    """Minimum specificity that a threshold must reach."""

    def _curve(self, at: Confusion) -> tuple[Tensor, Tensor, float]:
        return at.recall, at.specificity, self.specificity


@metric()
class SpecificityAtSensitivity(_OperatingPointMetric):
    """Best specificity, TN / (TN + FP), over the thresholds with at least the given sensitivity, TP / (TP + FN)."""

    needs_negatives = True

    sensitivity: Fraction
    """Minimum sensitivity that a threshold must reach."""

    def _curve(self, at: Confusion) -> tuple[Tensor, Tensor, float]:
        return at.specificity, at.recall, self.sensitivity


@metric()
class PrecisionAtRecall(_OperatingPointMetric):
    """Best precision, TP / (TP + FP), over the thresholds with at least the given recall, TP / (TP + FN)."""

    recall: Fraction
    """Minimum recall that a threshold must reach."""

    def _curve(self, at: Confusion) -> tuple[Tensor, Tensor, float]:
        return at.precision, at.recall, self.recall


@metric()
class RecallAtPrecision(_OperatingPointMetric):
    """Best recall, TP / (TP + FN), over the thresholds with at least the given precision, TP / (TP + FP)."""

    precision: Fraction
    """Minimum precision that a threshold must reach."""

    def _curve(self, at: Confusion) -> tuple[Tensor, Tensor, float]:
        return at.recall, at.precision, self.precision
