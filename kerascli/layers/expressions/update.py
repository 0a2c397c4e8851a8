"""Update: a layer that assigns the value of a formula to a weight after each training step."""

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from kerascli.foundation.errors import Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Outcome, ShapeMismatch, layer
from kerascli.layers.expressions.base import ExpressionLayer, ExpressionModule


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
            raise ShapeMismatch(
                f"needs a value of the weight's shape {tuple(weight.shape)}, got {got}", argument="value"
            )
        return Outcome((), updates={"": value.detach().to(weight.dtype)})
