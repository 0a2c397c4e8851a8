"""Adagrad optimizer (Duchi et al., 2011)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kerascli.foundation.shapes import NonNegativeFloat
from kerascli.optimizers.base import Epsilon, LearningRate, Optimizer, UpdateContext, optimizer
from kerascli.optimizers.rule import add_product


@optimizer()
class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011): gradients divided by the root of the sum of all squared gradients so far.

    Step sizes only decrease, the faster the larger a weight's gradients are.
    """

    learning_rate: LearningRate = 0.001
    initial_accumulator_value: NonNegativeFloat = 0.1
    """Initial value of the accumulated squared gradients."""
    epsilon: Epsilon = 1e-7

    def slots(self) -> tuple[str, ...]:
        return ("accumulator",)

    def slot_start(self, slot: str) -> float:
        return self.initial_accumulator_value

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], context: UpdateContext) -> None:
        accumulator = state["accumulator"].addcmul_(gradient, gradient)
        add_product(weight, gradient, torch.add(accumulator, self.epsilon).rsqrt_(), -context.learning_rate)
