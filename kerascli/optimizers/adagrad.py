"""Adagrad: steps divided by the size of all gradients so far (Duchi, Hazan and Singer, 2011)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kerascli.optimizers import scaled
from kerascli.optimizers.base import Epsilon, LearningRate, Moment, Optimizer, optimizer
from kerascli.shapes import NonNegativeFloat


@optimizer()
class Adagrad(Optimizer):
    """Steps that only get smaller, the more so for weights with great gradients."""

    learning_rate: LearningRate = 0.001
    initial_accumulator_value: NonNegativeFloat = 0.1
    """What the sums of squares start from."""
    epsilon: Epsilon = 1e-7

    def slots(self) -> tuple[str, ...]:
        return ("accumulator",)

    def slot_start(self, slot: str) -> float:
        return self.initial_accumulator_value

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        accumulator = state["accumulator"].addcmul_(gradient, gradient)
        scaled.add_product(weight, gradient, torch.add(accumulator, self.epsilon).rsqrt_(), -moment.learning_rate)
