"""RMSprop optimizer (Hinton, 2012)."""

from collections.abc import Mapping

from torch import Tensor

from kerascli.foundation.shapes import Fraction
from kerascli.optimizers.base import Epsilon, LearningRate, Optimizer, UpdateContext, optimizer
from kerascli.optimizers.rule import add_product


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

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], context: UpdateContext) -> None:
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
