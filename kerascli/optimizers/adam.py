"""Adam and AdamW: running means of the gradient and of its square (Kingma and Ba, 2014)."""

import math
from collections.abc import Mapping

import torch
from pydantic import field_validator
from torch import Tensor

from kerascli.optimizers.base import LearningRate, Moment, Optimizer, optimizer
from kerascli.shapes import NonNegativeFloat, OpenFraction


@optimizer()
class Adam(Optimizer):
    learning_rate: LearningRate = 0.001
    beta_1: OpenFraction = 0.9
    beta_2: OpenFraction = 0.999
    epsilon: NonNegativeFloat = 1e-7
    amsgrad: bool = False

    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity", *(("velocity_hat",) if self.amsgrad else ()))

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        momentum = state["momentum"].lerp_(gradient, 1 - self.beta_1)
        velocity = state["velocity"].mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        if self.amsgrad:
            velocity = torch.maximum(state["velocity_hat"], velocity, out=state["velocity_hat"])
        # the paper's correction of both means, moved into the rate: epsilon then means what it does in Keras
        rate = moment.learning_rate * math.sqrt(1 - self.beta_2**moment.step) / (1 - self.beta_1**moment.step)
        weight.addcdiv_(momentum, torch.sqrt(velocity, out=gradient).add_(self.epsilon), value=-rate)


@optimizer(name="adam_w")
class AdamW(Adam):
    """Adam with weight decay; as everywhere in Keras 3, decay acts on the weight, not on the gradient."""

    weight_decay: NonNegativeFloat | None = 0.004

    @field_validator("weight_decay")
    @classmethod
    def _decays(cls, value: float | None) -> float | None:
        if value is None:
            raise ValueError("expected a number, got nothing (null); 'adam' is adam_w without decay")
        return value
