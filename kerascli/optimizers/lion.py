"""Lion optimizer (Chen et al., 2023)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import Fraction
from kerascli.optimizers.base import LearningRate, Optimizer, State, UpdateContext, optimizer
from kerascli.optimizers.rule import add


@optimizer()
class Lion(Optimizer):
    """Lion (Chen et al., 2023): steps of the sign of beta_1 * momentum + (1 - beta_1) * gradient.

    All elements move by the learning rate, which should be some 3 to 10 times smaller than Adam's.
    """

    learning_rate: LearningRate = 0.001
    beta_1: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Weight of the momentum when it is mixed with the current gradient; the step has the sign of the mix."""
    beta_2: Fraction = 0.99
    """Exponential decay rate of the momentum (the first-moment estimate)."""

    def slots(self) -> tuple[str, ...]:
        return ("momentum",)

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        mix = torch.lerp(gradient, state["momentum"], self.beta_1)
        add(weight, mix.sign_(), -context.learning_rate)
        state["momentum"].lerp_(gradient, 1 - self.beta_2)
