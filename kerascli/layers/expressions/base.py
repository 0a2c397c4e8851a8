"""What the layers made of an expression share: inputs by name, faults with a place in the text."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from kerascli.errors import Fault
from kerascli.expressions import ExpressionError
from kerascli.layers.base import BaseLayer, CallForm, ShapeMismatch
from kerascli.ops.expression import Expression, ExpressionField, expression
from kerascli.shapes import TensorSpec


class ExpressionLayer(BaseLayer):
    """Settings with an expression, `value`, over the nodes that it names; its module takes them one by one."""

    call_form: ClassVar[CallForm] = "names"
    takes_integers: ClassVar[bool] = True

    value: ExpressionField
    """The formula: names of nodes, numbers, and the operations of `kerascli list ops`."""

    def names(self) -> tuple[str, ...]:
        """What it calls its inputs."""
        return expression(self.value).names

    def asks_for_batch(self) -> bool:
        """Whether it needs one more input: a tensor that says how large the batch is."""
        return expression(self.value).asks_for_batch

    def numbers(self) -> Collection[str]:
        """Names in its settings that stand for numbers, whatever nodes there are."""
        return expression(self.value).constants()

    def place_of(self, name: str) -> Fault:
        """Where a name stands in the settings: a fault without a text."""
        return Fault("", ("value",), span=expression(self.value).place(name))

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The same, of tensors of other names."""
        return self.model_copy(update={"value": expression(self.value).renamed(names)})

    @classmethod
    def first_argument(cls) -> str | None:
        return "value"


class ExpressionModule(nn.Module):
    """Evaluates an expression; its inputs come in the order of the layer's names."""

    def __init__(self, layer: ExpressionLayer, xs: tuple[TensorSpec, ...]) -> None:
        super().__init__()
        self.names = layer.names()
        self.expression: Expression = expression(layer.value)
        self.sized_by = next((index for index, spec in enumerate(xs) if spec.batched), 0)
        """Which of the inputs says how large the batch is."""

    def value_of(self, xs: tuple[Tensor, ...]) -> Any:
        """The value. Raises ShapeMismatch."""
        named = dict(zip(self.names, xs, strict=False))
        try:
            return self.expression(named, xs[self.sized_by], training=self.training)
        except ExpressionError as error:
            raise ShapeMismatch(error.text, argument="value", span=(error.column, error.length)) from None
