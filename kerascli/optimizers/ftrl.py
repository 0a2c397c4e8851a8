"""FTRL: follow the regularised leader, which sets weights to exact zeros (McMahan et al., 2013)."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor

from kerascli.optimizers.base import LearningRate, Moment, Optimizer, optimizer
from kerascli.shapes import NonNegativeFloat


@optimizer()
class Ftrl(Optimizer):
    """For wide and sparse linear models; `l1_regularization_strength` sets weights to 0."""

    learning_rate: LearningRate = 0.001
    learning_rate_power: Annotated[float, Field(le=0)] = -0.5
    """The power of the sums of squares that the rate is multiplied by."""
    initial_accumulator_value: NonNegativeFloat = 0.1
    """What the sums of squares start from."""
    l1_regularization_strength: NonNegativeFloat = 0.0
    """A penalty on the size of the weights."""
    l2_regularization_strength: NonNegativeFloat = 0.0
    """A penalty on the square of the weights."""
    l2_shrinkage_regularization_strength: NonNegativeFloat = 0.0
    """The same, in the gradient alone."""
    beta: float = 0.0
    """A further penalty on the square of the weights, which falls with a higher rate."""

    def slots(self) -> tuple[str, ...]:
        return ("accumulator", "linear")

    def slot_start(self, slot: str) -> float:
        return self.initial_accumulator_value if slot == "accumulator" else 0.0

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        accumulator, linear = state["accumulator"], state["linear"]
        rate, power, l1 = moment.learning_rate, -self.learning_rate_power, self.l1_regularization_strength
        before = accumulator**power
        accumulator.addcmul_(gradient, gradient)
        after = accumulator**power
        linear.add_(gradient).add_(weight, alpha=2 * self.l2_shrinkage_regularization_strength)
        linear.addcmul_(after - before, weight, value=-1 / rate)
        l2 = self.l2_regularization_strength + self.beta / (2 * rate)
        weight.copy_((linear.clamp(-l1, l1) - linear) / after.div_(rate).add_(2 * l2))
