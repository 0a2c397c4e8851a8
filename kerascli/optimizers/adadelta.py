"""Adadelta optimizer (Zeiler, 2012)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kerascli.foundation.shapes import Fraction
from kerascli.optimizers.base import Epsilon, LearningRate, Optimizer, UpdateContext, optimizer
from kerascli.optimizers.rule import add


@optimizer()
class Adadelta(Optimizer):
    """Adadelta (Zeiler, 2012): step sizes adapted by moving averages of squared gradients and squared updates.

    The default learning rate is Keras 3's 0.001; the paper, and Keras 2's examples in R, use 1.0.
    """

    learning_rate: LearningRate = 0.001
    rho: Fraction = 0.95
    """Decay rate of the moving averages of squared gradients and of squared updates."""
    epsilon: Epsilon = 1e-7

    def slots(self) -> tuple[str, ...]:
        return ("accumulated_grad", "accumulated_delta_var")

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], context: UpdateContext) -> None:
        squares = state["accumulated_grad"].mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
        steps = state["accumulated_delta_var"]
        step = torch.add(steps, self.epsilon).div_(squares + self.epsilon).sqrt_().mul_(gradient)
        steps.mul_(self.rho).addcmul_(step, step, value=1 - self.rho)
        add(weight, step, -context.learning_rate)
