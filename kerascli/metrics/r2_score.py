"""R2 score, the coefficient of determination."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from kerascli.foundation.shapes import NonNegativeInt, TensorSpec
from kerascli.losses.ranks import spread
from kerascli.metrics.base import Metric, class_names, count_dtype, metric
from kerascli.metrics.f_score import units_fault


@metric(name="r2_score")
class R2Score(Metric):
    """Coefficient of determination: 1 - sum((y_true - y_pred) ** 2) / sum((y_true - mean(y_true)) ** 2).

    One value per output unit, or their average. Outputs have the shape (N, outputs).
    """

    direction = "max"

    class_aggregation: Literal["uniform_average", "variance_weighted_average"] | None = "uniform_average"
    """Averaging over output units: unweighted, or weighted by the variance of targets; null: one value per unit."""
    num_regressors: NonNegativeInt = 0
    """Number of independent variables (features), for the adjusted R2; 0: not adjusted."""

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Return, per output unit, the sums of squared targets, targets, squared errors and weights; and a count.

        The shape is (5, outputs).
        """
        dtype = count_dtype(y_pred)
        y_true, y_pred = y_true.to(dtype), y_pred.to(dtype)
        weight = torch.ones_like(y_true)
        if sample_weight is not None:
            weight = spread(sample_weight.to(dtype), y_true, "sample weights").expand(y_true.shape)
        weighted = y_true * weight
        sums = [y_true * weighted, weighted, (y_true - y_pred).square() * weight, weight]
        values = torch.full_like(weight, y_true.shape[-1])
        return torch.stack([x.sum(0) for x in (*sums, values)])

    def result(self, state: Tensor) -> Tensor:
        errors, values = state[2], state[4]
        deviations = _deviations(state)
        scores = 1 - errors / deviations
        scores = torch.where(scores.isinf(), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            score = scores.mean()
        elif self.class_aggregation is None:
            score = scores
        else:
            score = (deviations * scores).sum() / deviations.sum()
        if self.num_regressors == 0:
            return score
        n = values[0]  # Keras counts every output of a sample as a sample
        adjusted = 1 - (1 - score) * (n - 1) / (n - self.num_regressors - 1)
        return torch.where(self.num_regressors < n - 1, adjusted, score)

    def is_defined(self, state: Tensor) -> Tensor:
        varies = _deviations(state) > 1e-14 * state[0]  # beyond the rounding of the sums
        if self.class_aggregation is None:
            return varies
        return varies.all() if self.class_aggregation == "uniform_average" else varies.any()

    def value_names(self, output: TensorSpec, classes: Sequence[str] | None) -> tuple[str, ...]:
        return class_names(output, classes) if self.class_aggregation is None else ()

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        fault = units_fault(self.component_name, output, "outputs", by_unit=self.class_aggregation is None)
        return fault or super().check(target, output)


def _deviations(state: Tensor) -> Tensor:
    """Return the sums of squared deviations of the targets from their mean, by output."""
    squares, total, _, count, _ = state
    return squares - total * total / count
