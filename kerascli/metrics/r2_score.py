"""R2: the share of the targets' variance that predictions explain."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from kerascli.losses.ranks import spread
from kerascli.metrics.base import Metric, class_names, count_dtype, metric, shape_fault, units_fault
from kerascli.shapes import NonNegativeInt, TensorSpec


@metric(name="r2_score")
class R2Score(Metric):
    """1 - squared errors / squared deviations from the mean, of each output, or averaged."""

    direction = "max"

    class_aggregation: Literal["uniform_average", "variance_weighted_average"] | None = "uniform_average"
    """How the values of the outputs become one; null: a value for each output."""
    num_regressors: NonNegativeInt = 0
    """For the adjusted figure: how many features there are; 0: not adjusted."""

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        """(5, outputs): sum of squared targets, of targets, of squared errors, of weights; number of values."""
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
        squares, total, errors, count, values = state
        deviations = squares - total * total / count
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
        n = values[0]  # Keras's number of samples counts every output
        adjusted = 1 - (1 - score) * (n - 1) / (n - self.num_regressors - 1)
        return torch.where(self.num_regressors < n - 1, adjusted, score)

    def value_names(self, output: TensorSpec, classes: Sequence[str] | None) -> tuple[str, ...]:
        return class_names(output, classes) if self.class_aggregation is None else ()

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        if output.rank > 1:
            return f"'{self.component_name}' needs an output of shape (None, outputs), got {output}"
        fault = units_fault(self.component_name, output) if self.class_aggregation is None else None
        return fault or shape_fault(self.component_name, target, output)
