"""Adamax optimizer (Kingma and Ba, 2014, section 7.1)."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import OpenFraction
from kerascli.optimizers.base import AdamLike, UpdateContext, optimizer
from kerascli.optimizers.rule import add_quotient


@optimizer()
class Adamax(AdamLike):
    """Adamax (Kingma and Ba, 2014, section 7.1): Adam with the infinity norm of past gradients for the second moment.

    The norm is max(beta_2 * norm, |gradient|). Suited to embeddings, whose gradients are mostly 0.
    """

    beta_2: Annotated[OpenFraction, Field(description="Exponential decay rate of the infinity norm of gradients.")] = (
        0.999
    )

    def slots(self) -> tuple[str, ...]:
        return ("momentum", "norm")

    def update(self, weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], context: UpdateContext) -> None:
        momentum = state["momentum"].lerp_(gradient, 1 - self.beta_1)
        norm = state["norm"].mul_(self.beta_2)
        torch.maximum(norm, gradient.abs(), out=norm)
        rate = context.learning_rate / (1 - self.beta_1**context.step)
        add_quotient(weight, momentum, norm + self.epsilon, -rate)
