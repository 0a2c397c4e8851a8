"""A metric that is a formula over y_true and y_pred."""

from torch import Tensor

from kerascli.losses.expr import pair_fault
from kerascli.losses.ranks import meet
from kerascli.metrics.base import MeanMetric, metric
from kerascli.ops.expression import PairExpression, value_of_pair
from kerascli.shapes import TensorSpec


@metric()
class Expr(MeanMetric):
    """The mean of a formula over y_true and y_pred with a value a sample: "max(abs(y_true - y_pred), axis=-1)"."""

    value: PairExpression
    """The formula; it needs quotes where it contains a comma, a bracket or a colon."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return value_of_pair(self.value, y_true, y_pred)

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """As in a loss: the formula may hold class numbers against probabilities; (N,) meets (N, 1) as (N, 1)."""
        return meet(y_true.to(y_pred.dtype), y_pred, weight_rank)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return pair_fault(self.component_name, lambda t, p: self.values(*self.aligned(t, p)), target, output)
