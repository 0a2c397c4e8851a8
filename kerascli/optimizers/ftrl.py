"""FTRL (follow the regularized leader) optimizer (McMahan et al., 2013)."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import NonNegativeFloat
from kerascli.optimizers.base import LearningRate, Optimizer, State, UpdateContext, optimizer


@optimizer()
class Ftrl(Optimizer):
    """FTRL, follow the regularized leader (McMahan et al., 2013), for shallow models with large, sparse features.

    `l1_regularization_strength` sets weights to exactly 0. At a learning rate of 0 (a warmup's first step) an update
    changes nothing; in Keras the weights become nan.
    """

    learning_rate: LearningRate = 0.001
    learning_rate_power: Annotated[float, Field(le=0)] = -0.5
    """Exponent of the accumulated squared gradients, whose power scales the learning rate; 0: it stays constant."""
    initial_accumulator_value: NonNegativeFloat = 0.1
    """Initial value of the accumulated squared gradients."""
    l1_regularization_strength: NonNegativeFloat = 0.0
    """L1 penalty on the weights."""
    l2_regularization_strength: NonNegativeFloat = 0.0
    """L2 penalty on the weights, as in the paper (a stabilization penalty)."""
    l2_shrinkage_regularization_strength: NonNegativeFloat = 0.0
    """L2 penalty added to the gradient (a magnitude penalty), but not to the accumulated squared gradients."""
    beta: float = 0.0
    """Parameter beta of the paper: adds beta / (2 * learning_rate) to the L2 penalty."""

    def slots(self) -> tuple[str, ...]:
        return ("accumulator", "linear")

    def slot_start(self, slot: str) -> float:
        return self.initial_accumulator_value if slot == "accumulator" else 0.0

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        accumulator, linear = state["accumulator"], state["linear"]
        rate, power, l1 = context.learning_rate, -self.learning_rate_power, self.l1_regularization_strength
        if rate == 0:  # the rule divides by it
            return
        before = accumulator**power
        accumulator.addcmul_(gradient, gradient)
        after = accumulator**power
        linear.add_(gradient).add_(weight, alpha=2 * self.l2_shrinkage_regularization_strength)
        linear.addcmul_(after - before, weight, value=-1 / rate)
        l2 = self.l2_regularization_strength + self.beta / (2 * rate)
        weight.copy_((linear.clamp(-l1, l1) - linear) / after.div_(rate).add_(2 * l2))
