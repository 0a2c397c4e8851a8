"""Expr: a layer whose output is the value of a formula over other nodes of the model."""

from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, ShapeMismatch, layer
from kerascli.layers.expressions.base import ExpressionLayer, ExpressionModule

_CODE = "a config holds no Python code: write the formula as 'value', or a custom layer as a plugin"
_OF_LAMBDA = {
    "function": _CODE,
    "arguments": "the formula names what it needs: nodes, numbers, '$' flags",
    "output_shape": "it follows from the formula",
    "mask": "a formula passes no mask on",
}


@layer(
    Example(input=(3,), output=(3,), config={"value": "prev * tanh(softplus(prev))"}),
    Example(input=[(4, 3), (4, 3)], output=(4,), config={"value": "sqrt(sum(square(a - b), axis=-1))"}),
    Example(input=(6,), output=[(3,), (3,)], config={"value": "split(prev, 2, axis=-1)"}),
    aliases=("lambda",),
)
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
