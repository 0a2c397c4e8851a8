"""Schedule-free AdamW: an average of the weights in place of a falling rate (Defazio et al., 2024)."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor

from kerascli.optimizers.base import Beta2, Epsilon, LearningRate, Moment, Optimizer, optimizer
from kerascli.shapes import NonNegativeInt


@optimizer()
class ScheduleFreeAdamW(Optimizer):
    """Adam's steps on weights of its own; gradients are taken between these (`momentum`) and their mean so far.

    As in Keras, those in between are the model's weights in validation and afterwards, too.
    """

    learning_rate: LearningRate = 0.0025
    beta_1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """How near to their mean the weights are at which gradients are taken."""
    beta_2: Beta2 = 0.999
    epsilon: Epsilon = 1e-8
    warmup_steps: NonNegativeInt = 0
    """Updates over which the rate rises to its full height."""

    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity")

    def slot_start(self, slot: str) -> float | None:
        return None if slot == "momentum" else 0.0

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        own, rate = state["momentum"], moment.learning_rate
        if self.warmup_steps:
            rate *= min(moment.step / self.warmup_steps, 1.0)
        mean = weight.sub(own, alpha=1 - self.beta_1).div_(self.beta_1)
        velocity = state["velocity"].mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        size = (velocity / (1 - self.beta_2**moment.step)).sqrt_().add_(self.epsilon)
        own.addcdiv_(gradient, size, value=-rate)
        weight.copy_(own.lerp(mean.lerp_(own, 1 / moment.step), self.beta_1))
