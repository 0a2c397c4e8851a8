"""Schedule-free AdamW optimizer (Defazio et al., 2024)."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import NonNegativeInt
from kerascli.optimizers.base import AdamLike, Epsilon, LearningRate, State, UpdateContext, optimizer


@optimizer()
class ScheduleFreeAdamW(AdamLike):
    """Schedule-free AdamW (Defazio et al., 2024): averaging of the iterates in place of a learning rate schedule.

    Adam steps update a sequence z (the state `momentum`); x is its running mean. Gradients are computed at the model's
    weights, y = beta_1 * x + (1 - beta_1) * z. As in Keras, y is also used in validation and after training.
    """

    learning_rate: LearningRate = 0.0025
    beta_1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Interpolation factor of the point where gradients are computed: from the updated sequence (0) to its mean (1)."""
    epsilon: Epsilon = 1e-8
    warmup_steps: NonNegativeInt = 0
    """Number of updates over which the learning rate increases linearly from 0."""

    def slot_start(self, slot: str) -> float | None:
        return None if slot == "momentum" else 0.0

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        own, rate = state["momentum"], context.learning_rate
        if self.warmup_steps:
            rate *= min(context.step / self.warmup_steps, 1.0)
        mean = weight.sub(own, alpha=1 - self.beta_1).div_(self.beta_1)
        velocity = state["velocity"].mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        size = (velocity / (1 - self.beta_2**context.step)).sqrt_().add_(self.epsilon)
        own.addcdiv_(gradient, size, value=-rate)
        weight.copy_(own.lerp(mean.lerp_(own, 1 / context.step), self.beta_1))
