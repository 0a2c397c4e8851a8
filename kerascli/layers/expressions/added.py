"""AddLoss and AddMetric: custom losses and metrics computed from nodes of a model."""

from typing import Literal

from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Outcome, ShapeMismatch, layer
from kerascli.layers.expressions.base import ExpressionLayer, ExpressionModule
from kerascli.ops.base import dtype_of


class LoggedValue(ExpressionLayer):
    """Base class of add_loss and add_metric, which have no output and whose value is logged under their node's name."""

    logs = True

    def result_count(self) -> int | None:
        return 0

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return LoggedValueModule(self, inputs)


@layer(Example(input=(4,), output=[], config={"value": "mean(square(prev), axis=-1)", "weight": 0.5}))
class AddLoss(LoggedValue):
    """Adds the value of a formula, one per sample or a single one, to the loss.

    It has no output; the log shows the value before it is multiplied by `weight`.
    """

    weight: float = 1.0
    """Factor of the value in the total loss."""

    def adds_losses(self) -> bool:
        return True


@layer(Example(input=(4,), output=[], config={"value": "max(abs(prev), axis=-1)"}))
class AddMetric(LoggedValue):
    """Logs the value of a formula, one per sample or a single one, as a metric; it adds no loss.

    It has no output.
    """

    reduction: Literal["mean", "sum"] = "mean"
    """Reduction of the values of an epoch's samples to one: `keras.metrics.Mean` or `Sum`."""

    @property
    def sums(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.reduction == "sum"


class LoggedValueModule(ExpressionModule):
    def forward(self, *xs: Tensor) -> Outcome:  # each (N, *) -> no result
        value = self.value_of(xs)
        if not isinstance(value, Tensor) or (value.ndim and value.shape[0] != xs[self.sized_by].shape[0]):
            raise ShapeMismatch("needs a value for each sample, or a single one", argument="value")
        value = value.to(dtype_of(None))  # in full precision, whatever the model's precision
        reduced = value.sum() if self.layer.sums else value.mean()
        losses = {"": reduced * self.layer.weight} if isinstance(self.layer, AddLoss) else {}
        return Outcome((), losses=losses, metrics={"": reduced.detach()})
