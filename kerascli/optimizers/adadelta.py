"""Adadelta: steps whose size follows from earlier steps and gradients (Zeiler, 2012)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kerascli.optimizers import scaled
from kerascli.optimizers.base import Epsilon, LearningRate, Moment, Optimizer, optimizer
from kerascli.shapes import Fraction


@optimizer()
class Adadelta(Optimizer):
    """Keras 3's default rate is 0.001; the paper's, and that of Keras 2's examples in R, is 1.0."""

    learning_rate: LearningRate = 0.001
    rho: Fraction = 0.95
    """How slowly the mean of squared gradients forgets."""
    epsilon: Epsilon = 1e-7

    def slots(self) -> tuple[str, ...]:
        return ("accumulated_grad", "accumulated_delta_var")

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        squares = state["accumulated_grad"].mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
        steps = state["accumulated_delta_var"]
        step = torch.add(steps, self.epsilon).div_(squares + self.epsilon).sqrt_().mul_(gradient)
        steps.mul_(self.rho).addcmul_(step, step, value=1 - self.rho)
        scaled.add(weight, step, -moment.learning_rate)
