"""Precision, recall and counts of true and false positives and negatives, at one or several thresholds."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field
from torch import Tensor

from kerascli.foundation.shapes import Fraction, NonNegativeInt, PositiveInt, TensorSpec
from kerascli.metrics.base import Metric, distinct, metric
from kerascli.metrics.confusion import BELOW_ALL, are_even, confusion, outcomes, top_k_only


def _one(value: Any) -> Any:
    """Convert a list with one threshold to a number; for either, Keras returns one value instead of a list."""
    if value in ([], ()):
        raise ValueError("expected a number from 0 to 1 or a list of such, got an empty list")
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


Thresholds = Annotated[
    Fraction | Annotated[tuple[Fraction, ...], Field(min_length=1, strict=False)] | None, BeforeValidator(_one)
]
"""Type of `thresholds`: one number, or a list with one metric value each; None: 0.5, or with `top_k` no threshold."""


class _ConfusionMetric(Metric):
    """Base class of metrics computed from true and false positives and negatives at one or several thresholds."""

    reported: ClassVar[str]
    """Name of the property of `Confusion` that is the metric's value at each threshold."""
    denominator: ClassVar[str | None] = None
    """Name of the property of `Confusion` by which the value is divided; None for counts."""

    thresholds: Thresholds = None
    """Outputs above the threshold are predicted as positive; null: 0.5, or no threshold with top_k.

    A list gives one value per threshold.
    """

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        thresholds = self._thresholds()
        # as in Keras, evenly spaced thresholds (rounded differently at the edges) must be in ascending order
        return outcomes(y_true, y_pred, sample_weight, sorted(thresholds), even=are_even(thresholds))

    def result(self, state: Tensor) -> Tensor:
        return self._in_order(getattr(confusion(state), self.reported))

    def is_defined(self, state: Tensor) -> Tensor:
        if self.denominator is None:
            return super().is_defined(state)
        return self._in_order(getattr(confusion(state), self.denominator) > 0)

    def _in_order(self, values: Tensor) -> Tensor:
        """Return values at ascending thresholds in the order of `thresholds`; a scalar for a single threshold."""
        thresholds = self._thresholds()
        rising = sorted(thresholds)
        return values[0] if len(thresholds) == 1 else values[[rising.index(each) for each in thresholds]]

    def value_names(self, output: TensorSpec, classes: Sequence[str] | None) -> tuple[str, ...]:
        thresholds = self._thresholds()
        return () if len(thresholds) == 1 else distinct([f"{each:g}" for each in thresholds])

    def _thresholds(self) -> tuple[float, ...]:
        if self.thresholds is None:
            return (0.5,)
        return self.thresholds if isinstance(self.thresholds, tuple) else (self.thresholds,)


def of_class(class_id: int | None, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Return the targets and predictions of one output unit (class); None: those of all units."""
    if class_id is None:
        return y_true, y_pred
    one = slice(class_id, class_id + 1)
    return y_true[..., one], y_pred[..., one]


def unit_fault(metric: Metric, argument: str, output: TensorSpec, *, first: int) -> str | None:
    """Return an error message if a metric's argument is the number of an output unit, counted from `first`, that the
    output lacks; else None."""
    value, units = getattr(metric, argument), output.shape[-1] if output.shape else 1
    if value is None or units is None or value - first < units:
        return None
    return f"'{metric.component_name}': {argument} is {value}, but the output {output} has {units} classes"


class _ClassMetric(_ConfusionMetric):
    """Base class of precision and recall, optionally of one class or of the `top_k` outputs of each sample."""

    direction = "max"

    top_k: PositiveInt | None = None
    """Number of largest outputs of each sample that can be predicted as positive; null: no limit."""
    class_id: NonNegativeInt | None = None
    """Output unit (class) to evaluate alone; null: all units."""

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        if self.top_k is not None:
            y_pred = top_k_only(y_pred, self.top_k)
        return super().measure(*of_class(self.class_id, y_true, y_pred), sample_weight)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        fault = unit_fault(self, "top_k", output, first=1) or unit_fault(self, "class_id", output, first=0)
        return fault or super().check(target, output)

    def _thresholds(self) -> tuple[float, ...]:
        return (BELOW_ALL,) if self.thresholds is None and self.top_k is not None else super()._thresholds()


@metric()
class Precision(_ClassMetric):
    """Precision, the fraction of predicted positives that are correct: TP / (TP + FP)."""

    reported, denominator = "precision", "predicted_positives"


@metric()
class Recall(_ClassMetric):
    """Recall, the fraction of positive targets that are predicted as positive: TP / (TP + FN)."""

    reported, denominator = "recall", "positives"


@metric()
class TruePositives(_ConfusionMetric):
    """Number (with sample weights, total weight) of true positives: positive targets predicted as positive."""

    direction = "max"
    reported = "true_positives"


@metric()
class TrueNegatives(_ConfusionMetric):
    """Number (with sample weights, total weight) of true negatives: negative targets predicted as negative."""

    direction = "max"
    reported = "true_negatives"


@metric()
class FalsePositives(_ConfusionMetric):
    """Number (with sample weights, total weight) of false positives: negative targets predicted as positive."""

    reported = "false_positives"


@metric()
class FalseNegatives(_ConfusionMetric):
    """Number (with sample weights, total weight) of false negatives: positive targets predicted as negative."""

    reported = "false_negatives"
