"""Adamax: Adam with the greatest gradient so far in place of the mean square (Kingma and Ba, 2014)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kerascli.optimizers import scaled
from kerascli.optimizers.base import AdamLike, Moment, optimizer


@optimizer()
class Adamax(AdamLike):
    """Adam by the greatest gradient so far; fits embeddings, whose gradients are mostly 0."""

    def slots(self) -> tuple[str, ...]:
        return ("momentum", "norm")

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        momentum = state["momentum"].lerp_(gradient, 1 - self.beta_1)
        norm = state["norm"].mul_(self.beta_2)
        torch.maximum(norm, gradient.abs(), out=norm)
        rate = moment.learning_rate / (1 - self.beta_1**moment.step)
        scaled.add_quotient(weight, momentum, norm + self.epsilon, -rate)
