"""Precision, recall and plain counts of outcomes, at a threshold."""

from typing import Annotated, Any

from pydantic import BeforeValidator
from torch import Tensor

from kerascli.metrics.base import Metric, metric, shape_fault
from kerascli.metrics.confusion import BELOW_ALL, confusion, outcomes, top_k_only
from kerascli.shapes import Fraction, NonNegativeInt, PositiveInt, TensorSpec


def _one(value: Any) -> Any:
    """A list of one threshold is that threshold; of several, Keras gives several figures, and logs hold one."""
    if isinstance(value, (list, tuple)):
        if len(value) != 1:
            raise ValueError(f"expected one threshold, got {len(value)}; use the metric once for each, with a 'name'")
        return value[0]
    return value


Threshold = Annotated[Fraction | None, BeforeValidator(_one)]
"""Outputs above it are positive; None: 0.5 (with `top_k`: all that are in the top)."""


class _Outcomes(Metric):
    """What is said of outcomes at one threshold."""

    thresholds: Threshold = None

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        return outcomes(y_true, y_pred, sample_weight, [self._threshold()])

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return shape_fault(self.component_name, target, output)

    def _threshold(self) -> float:
        return 0.5 if self.thresholds is None else self.thresholds


class _OfClass(_Outcomes):
    """Of one class, or of the outputs in the top `k`, where wanted."""

    direction = "max"

    top_k: PositiveInt | None = None
    class_id: NonNegativeInt | None = None

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        if self.top_k is not None:
            y_pred = top_k_only(y_pred, self.top_k)
        if self.class_id is not None:
            one = slice(self.class_id, self.class_id + 1)
            y_true, y_pred = y_true[..., one], y_pred[..., one]
        return super().measure(y_true, y_pred, sample_weight)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        outputs = output.shape[-1] if output.shape else 1
        for name, least in (("top_k", self.top_k), ("class_id", None if self.class_id is None else self.class_id + 1)):
            if least is not None and outputs is not None and least > outputs:
                value = getattr(self, name)
                return f"'{self.component_name}': {name} is {value}, but the output {output} has {outputs} classes"
        return super().check(target, output)

    def _threshold(self) -> float:
        return BELOW_ALL if self.thresholds is None and self.top_k is not None else super()._threshold()


@metric()
class Precision(_OfClass):
    """What share of the positive outputs is right."""

    def result(self, state: Tensor) -> Tensor:
        return confusion(state).precision[0]


@metric()
class Recall(_OfClass):
    """What share of the positive targets is found."""

    def result(self, state: Tensor) -> Tensor:
        return confusion(state).recall[0]


@metric()
class TruePositives(_Outcomes):
    """The number of positive targets that are found."""

    direction = "max"

    def result(self, state: Tensor) -> Tensor:
        return confusion(state).true_positives[0]


@metric()
class TrueNegatives(_Outcomes):
    """The number of negative targets that are left alone."""

    direction = "max"

    def result(self, state: Tensor) -> Tensor:
        return confusion(state).true_negatives[0]


@metric()
class FalsePositives(_Outcomes):
    """The number of false alarms."""

    def result(self, state: Tensor) -> Tensor:
        return confusion(state).false_positives[0]


@metric()
class FalseNegatives(_Outcomes):
    """The number of positive targets that are missed."""

    def result(self, state: Tensor) -> Tensor:
        return confusion(state).false_negatives[0]
