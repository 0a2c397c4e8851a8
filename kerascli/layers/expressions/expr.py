"""Expr and Update: layers that compute their output, or a new value of a weight, by a formula over other nodes."""

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from kerascli.foundation.errors import Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Outcome, ShapeMismatch, layer
from kerascli.layers.expressions.base import ExpressionLayer, ExpressionModule

_CODE = "a config holds no Python code: write the formula as 'value', or a custom layer as a plugin"
_OF_LAMBDA = {
    "function": _CODE,
    "arguments": "the formula names what it needs: nodes, numbers, '$' flags",
    "output_shape": "it follows from the formula",
    "mask": "a formula passes no mask on",
}


@layer(Example(input=(3,), output=(3,), config={"value": "prev * tanh(softplus(prev))"}), aliases=("lambda",))
class Expr(ExpressionLayer):
    """Value of a formula over nodes; `kerascli list ops` shows the operations that it may call.

    Inputs: the nodes that the formula names, (N, *) each. Output: the formula's value, a tensor or several.
    """

    refused = _OF_LAMBDA

    def result_count(self) -> int | None:
        return None

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return ExprModule(self, inputs)


class ExprModule(ExpressionModule):
    def forward(self, *xs: Tensor) -> Tensor | tuple[Tensor, ...]:  # each (N, *) -> (N, *)
        value = self.value_of(xs)
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(part, Tensor) for part in values):
            raise ShapeMismatch("needs a formula whose value is a tensor, or several", argument="value")
        return tuple(values) if isinstance(value, list) else value


@layer(Example(input=[(4,), (4,)], output=[], config={"weight": "mean", "value": "0.9 * mean + 0.1 * prev"}))
class Update(ExpressionLayer):
    """Assigns the value of a formula to a non-trainable weight, after each training step.

    Nodes of the same step use the value before the update. No gradient flows through it, and it has no output.
    """

    mixes_samples = True

    weight: str
    """Name of the weight node to update."""

    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.weight, *super().names())))

    def place_of(self, name: str) -> Fault:
        return Fault("", ("weight",)) if name == self.weight else super().place_of(name)

    def renamed(self, names: Mapping[str, str]) -> Self:
        return super().renamed(names).model_copy(update={"weight": names.get(self.weight, self.weight)})

    def result_count(self) -> int | None:
        return 0

    @classmethod
    def first_argument(cls) -> str | None:
        return "weight"

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return UpdateModule(self, inputs)


class UpdateModule(ExpressionModule):
    def forward(self, weight: Tensor, *xs: Tensor) -> Any:  # shape, each (N, *) -> no result
        if not (self.training or weight.is_meta):  # on the meta device shapes are checked
            return Outcome(())
        value = self.value_of((weight, *xs))
        if not isinstance(value, Tensor) or value.shape != weight.shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else "no tensor"
            text = f"needs a value of the weight's shape {tuple(weight.shape)}, got {got}"
            raise ShapeMismatch(text, argument="value")
        return Outcome((), updates={"": value.detach().to(weight.dtype)})
