"""The `expr` loss: the value of a formula over y_true and y_pred."""

from collections.abc import Callable

import torch
from torch import Tensor

from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Component
from kerascli.language.expressions import ExpressionError
from kerascli.losses.base import Loss, loss
from kerascli.losses.ranks import meet
from kerascli.ops.expression import PairExpression, value_of_pair


class PairFormula(Component):
    """Mixin with the argument `value` of the loss and the metric `expr`."""

    value: PairExpression
    """Formula over y_true and y_pred; quote it if it contains a comma, a bracket or a colon."""

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return value_of_pair(self.value, y_true, y_pred)


@loss()
class Expr(PairFormula, Loss):
    """Loss given as a formula over y_true and y_pred, with one value per sample.

    For example "mean(square(y_true - y_pred), axis=-1)".
    """

    def aligned(self, y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return targets and predictions of equal rank; shapes may differ, as for labels and probabilities."""
        y_pred = y_pred if y_pred.dtype == torch.float64 else y_pred.to(torch.float32)
        return meet(y_true.to(y_pred.dtype), y_pred, weight_rank)

    def check_shapes(self, target: TensorSpec, output: TensorSpec) -> str | None:
        return pair_fault(self.component_name, self.sample_values, target, output)


def pair_fault(
    name: str, values: Callable[[Tensor, Tensor], Tensor], target: TensorSpec, output: TensorSpec
) -> str | None:
    """Return an error message if a formula does not give one value per sample; else None.

    The formula is evaluated on the meta device.
    """
    for rows in (2, 3):
        y_true, y_pred = (torch.empty((rows, *(s or 6 for s in x.shape)), device="meta") for x in (target, output))
        try:
            value = values(y_true, y_pred)
        except ExpressionError as error:
            return f"'{name}': {error.text} (targets {target}, output {output})"
        if value.ndim == 0 or value.shape[0] != rows:
            return f"'{name}' needs one value per sample; reduce over the other axes only"
    return None
