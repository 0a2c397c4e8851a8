"""LAMB optimizer, Adam with layer-wise scaled steps (You et al., 2019)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kerascli.optimizers.base import AdamLike, UpdateContext, optimizer


@optimizer()
class Lamb(AdamLike):
    """LAMB (You et al., 2019), for very large batches: Adam's step, scaled for each weight by the weight's norm.

    Each weight's update has the norm learning_rate * norm(weight); it is Adam's if the norm of weight or step is 0.
    """

    elementwise = False

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], context: UpdateContext) -> None:
        momentum = state["momentum"].lerp_(gradient, 1 - self.beta_1)
        velocity = state["velocity"].mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        size = (velocity / (1 - self.beta_2**context.step)).sqrt_().add_(self.epsilon)
        step = momentum / (1 - self.beta_1**context.step) / size
        weight_norm, step_norm = torch.linalg.vector_norm(weight), torch.linalg.vector_norm(step)
        ratio = torch.where((weight_norm > 0) & (step_norm > 0), weight_norm / step_norm, 1.0)
        weight.sub_(step.mul_(ratio * context.learning_rate))
