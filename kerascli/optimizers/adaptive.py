"""Adadelta, Adagrad and RMSprop: steps divided by a root of squared gradients."""

import torch
from torch import Tensor

from kerascli.foundation.shapes import Fraction, NonNegativeFloat
from kerascli.optimizers.base import Epsilon, LearningRate, Optimizer, State, UpdateContext, optimizer
from kerascli.optimizers.rule import add, add_product


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

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        squares = state["accumulated_grad"].mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
        steps = state["accumulated_delta_var"]
        step = torch.add(steps, self.epsilon).div_(squares + self.epsilon).sqrt_().mul_(gradient)
        steps.mul_(self.rho).addcmul_(step, step, value=1 - self.rho)
        add(weight, step, -context.learning_rate)


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

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        accumulator = state["accumulator"].addcmul_(gradient, gradient)
        add_product(weight, gradient, torch.add(accumulator, self.epsilon).rsqrt_(), -context.learning_rate)


@optimizer(name="rmsprop")
class RMSprop(Optimizer):
    """RMSprop (Hinton, 2012): gradients divided by the root of a moving average of their squares.

    The default optimizer of Keras's `compile`.
    """

    learning_rate: LearningRate = 0.001
    rho: Fraction = 0.9
    """Decay rate of the moving average of squared gradients."""
    momentum: Fraction = 0.0
    """Momentum: step = momentum * step + learning_rate * normalized gradient; 0: none."""
    epsilon: Epsilon = 1e-7
    centered: bool = False
    """Divide by the estimated standard deviation of the gradients instead of their root mean square."""

    def slots(self) -> tuple[str, ...]:
        momentum = ("momentum",) if self.momentum > 0 else ()
        return ("velocity", *momentum, *(("average_gradient",) if self.centered else ()))

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        velocity = state["velocity"].mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
        size = velocity + self.epsilon
        if self.centered:
            average = state["average_gradient"].lerp_(gradient, 1 - self.rho)
            size.addcmul_(average, average, value=-1)
        size.rsqrt_()  # takes half the time of sqrt_
        if self.momentum > 0:
            step = state["momentum"].mul_(self.momentum)
            add_product(step, gradient, size, context.learning_rate)
            weight.sub_(step)
        else:
            add_product(weight, gradient, size, -context.learning_rate)
