"""Base classes of layers with a formula over named nodes; their errors include the position in the formula's text."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from kerascli.foundation.errors import Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.expressions import ExpressionError
from kerascli.layers.base import BaseLayer, CallForm, ShapeMismatch
from kerascli.ops.expression import Expression, ExpressionField, expression


class ExpressionLayer(BaseLayer):
    """Base class of layers whose formula (`value`) refers to graph nodes, the inputs of the layer's module."""

    call_form: ClassVar[CallForm] = "names"
    takes_integers: ClassVar[bool] = True

    value: ExpressionField
    """Formula of node names, numbers and operations; `kerascli list ops` shows the operations."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the nodes in the layer's formula, in the order in which its module takes them."""
        return expression(self.value).names

    def asks_for_batch(self) -> bool:
        """Return True if the module needs an additional input: a tensor from which the formula reads the batch size."""
        return expression(self.value).asks_for_batch

    def numbers(self) -> Collection[str]:
        """Return the names of the constants (`pi`, `e`) in the formula; they hide nodes of the same name."""
        return expression(self.value).constants()

    def place_of(self, name: str) -> Fault:
        """Return a name's position (key, column, length) in the layer's formulas, as a Fault (error) without text."""
        return Fault("", ("value",), span=expression(self.value).place(name))

    def renamed(self, names: Mapping[str, str]) -> Self:
        """Return a copy of the layer with nodes renamed in its formula; `names` maps old node names to new ones."""
        return self.model_copy(update={"value": expression(self.value).renamed(names)})

    @classmethod
    def first_argument(cls) -> str | None:
        return "value"


class ExpressionModule(nn.Module):
    """Module that evaluates an expression; its inputs are in the order of the layer's `names()`."""

    def __init__(self, layer: ExpressionLayer, xs: tuple[TensorSpec, ...]) -> None:
        super().__init__()
        self.layer = layer
        self.names = layer.names()
        self.expression: Expression = expression(layer.value)
        self.sized_by = next((index for index, spec in enumerate(xs) if spec.batched), 0)
        """Index of the input from which the batch size is read: the first one that has a batch axis, else 0."""

    def value_of(self, xs: tuple[Tensor, ...]) -> Any:
        """Return the value of the expression, given the module's input tensors. Raises ShapeMismatch."""
        named = dict(zip(self.names, xs, strict=False))
        try:
            return self.expression(named, xs[self.sized_by], training=self.training)
        except ExpressionError as error:
            raise ShapeMismatch(error.text, argument="value", span=(error.column, error.length)) from None
