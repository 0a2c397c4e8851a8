"""The `expr` metric: the mean of a formula over y_true and y_pred."""

from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.expr import PairFormula, pair_fault
from kerascli.losses.ranks import meet
from kerascli.metrics.base import MeanMetric, metric


@metric()
class Expr(PairFormula, MeanMetric):
    """Mean over samples of a formula over y_true and y_pred, which has one value per sample.

    For example "max(abs(y_true - y_pred), axis=-1)".
    """

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return targets and predictions of equal rank, not shape: a formula may compare labels to probabilities.

        (N,) against (N, 1) becomes (N, 1).
        """
        return meet(y_true.to(y_pred.dtype), y_pred, weight_rank)

    def check(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return pair_fault(self.component_name, lambda t, p: self.values(*self.aligned(t, p)), target, output)
