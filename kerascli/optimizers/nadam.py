"""Nadam optimizer, Adam with Nesterov momentum (Dozat, 2016)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from kerascli.optimizers.base import AdamLike, UpdateContext, optimizer


@optimizer()
class Nadam(AdamLike):
    """Nadam (Dozat, 2016): Adam with Nesterov momentum, whose momentum increases over the first updates.

    In update t (from 1) the momentum is beta_1 * (1 - 0.5 * 0.96 ** t).
    """

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], context: UpdateContext) -> None:
        now, ahead = self._momentum_at(context.step), self._momentum_at(context.step + 1)
        so_far = self.momentum_product(context.step)
        momentum = state["momentum"].lerp_(gradient, 1 - self.beta_1)
        velocity = state["velocity"].mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        step = torch.mul(gradient, (1 - now) / (1 - so_far)).add_(momentum, alpha=ahead / (1 - so_far * ahead))
        size = torch.div(velocity, 1 - self.beta_2**context.step).sqrt_().add_(self.epsilon)
        weight.addcdiv_(step, size, value=-context.learning_rate)

    def _momentum_at(self, step: int) -> float:
        return self.beta_1 * (1 - 0.5 * 0.96**step)

    def momentum_product(self, step: int) -> float:
        """Return the product of Nadam's momenta, which increase, over the updates 1 to `step`.

        Late factors, which leave 1 - product unchanged, are omitted.
        """
        if self.beta_1 == 0:
            return 0.0
        steps = min(step, math.ceil(-42 / math.log(self.beta_1)))
        return math.prod(map(self._momentum_at, range(1, steps + 1)))
