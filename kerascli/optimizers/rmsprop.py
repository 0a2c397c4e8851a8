"""RMSprop: steps divided by a running mean of the gradient's size (Hinton, 2012)."""

from collections.abc import Mapping

from torch import Tensor

from kerascli.optimizers import scaled
from kerascli.optimizers.base import Epsilon, LearningRate, Moment, Optimizer, optimizer
from kerascli.shapes import Fraction


@optimizer(name="rmsprop")
class RMSprop(Optimizer):
    """Steps divided by the root of the gradient's mean square; Keras's default optimizer."""

    learning_rate: LearningRate = 0.001
    rho: Fraction = 0.9
    """How slowly the mean of squared gradients forgets."""
    momentum: Fraction = 0.0
    """The part of the last step that is taken again."""
    epsilon: Epsilon = 1e-7
    centered: bool = False
    """Divide by the deviation of the gradients instead of their size."""

    def slots(self) -> tuple[str, ...]:
        momentum = ("momentum",) if self.momentum > 0 else ()
        return ("velocity", *momentum, *(("average_gradient",) if self.centered else ()))

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        velocity = state["velocity"].mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
        size = velocity + self.epsilon
        if self.centered:
            average = state["average_gradient"].lerp_(gradient, 1 - self.rho)
            size.addcmul_(average, average, value=-1)
        size.rsqrt_()  # takes half of sqrt_'s time
        if self.momentum > 0:
            step = state["momentum"].mul_(self.momentum)
            scaled.add_product(step, gradient, size, moment.learning_rate)
            weight.sub_(step)
        else:
            scaled.add_product(weight, gradient, size, -moment.learning_rate)
