"""AddLoss and AddMetric: figures of a model's own, from its inner nodes."""

from torch import Tensor, nn

from kerascli.layers.base import Example, Outcome, ShapeMismatch, layer
from kerascli.layers.expressions.base import ExpressionLayer, ExpressionModule
from kerascli.ops.base import dtype_of
from kerascli.shapes import TensorSpec


class Figure(ExpressionLayer):
    """Has no result; what it comes to is logged under the node's name."""

    logs = True

    def result_count(self) -> int | None:
        return 0


@layer(Example(input=(4,), output=[], config={"value": "mean(square(prev), axis=-1)", "weight": 0.5}))
class AddLoss(Figure):
    """Adds to the loss: a value a sample, or one value; `weight` multiplies it, the log shows it without."""

    weight: float = 1.0

    def adds_losses(self) -> bool:
        return True

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        return FigureModule(self, xs, self.weight)


@layer(Example(input=(4,), output=[], config={"value": "max(abs(prev), axis=-1)"}))
class AddMetric(Figure):
    """A figure to log: the mean of a value a sample, or one value; nothing is trained by it."""

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        return FigureModule(self, xs, None)


class FigureModule(ExpressionModule):
    def __init__(self, layer: Figure, xs: tuple[TensorSpec, ...], weight: float | None) -> None:
        super().__init__(layer, xs)
        self.weight = weight

    def forward(self, *xs: Tensor) -> Outcome:  # each (N, *) -> no result
        value = self.value_of(xs)
        if not isinstance(value, Tensor) or (value.ndim and value.shape[0] != xs[self.sized_by].shape[0]):
            raise ShapeMismatch("needs a value for each sample, or a single one", argument="value")
        mean = value.to(dtype_of(None)).mean()  # in full precision, whatever the model computes in
        losses = {} if self.weight is None else {"": mean * self.weight}
        return Outcome((), losses=losses, metrics={"": mean.detach()})
