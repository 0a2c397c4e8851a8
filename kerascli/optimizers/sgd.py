"""SGD: stochastic gradient descent, optionally with momentum."""

from torch import Tensor

from kerascli.foundation.shapes import Fraction
from kerascli.optimizers.base import LearningRate, Optimizer, State, UpdateContext, optimizer
from kerascli.optimizers.rule import add


@optimizer(name="sgd")
class SGD(Optimizer):
    """Stochastic gradient descent, optionally with (Nesterov) momentum.

    velocity = momentum * velocity - learning_rate * gradient; weight += velocity. As in Keras, the velocity contains
    the learning rates of past updates.
    """

    learning_rate: LearningRate = 0.01
    momentum: Fraction = 0.0
    """Momentum, the decay rate of the velocity; 0: plain gradient descent."""
    nesterov: bool = False
    """Use Nesterov momentum: weight += momentum * velocity - learning_rate * gradient."""

    def slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum != 0 else ()

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        rate = context.learning_rate
        if self.momentum == 0:
            add(weight, gradient, -rate)
            return
        momentum = state["momentum"].mul_(self.momentum)
        add(momentum, gradient, -rate)
        if self.nesterov:
            weight.add_(momentum, alpha=self.momentum)
            add(weight, gradient, -rate)
        else:
            weight.add_(momentum)
