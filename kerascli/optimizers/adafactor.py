"""Adafactor optimizer, with factored second moments (Shazeer and Stern, 2018)."""

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import NonNegativeFloat, PositiveFloat
from kerascli.optimizers.base import LearningRate, Optimizer, State, UpdateContext, optimizer


@optimizer()
class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern, 2018): adaptive steps with factored second moments, which need less memory.

    For a weight of two or more axes the second moment is kept as one average per row and per column of the last two
    axes, not per element. The learning rate of update t (from 1) is at most 1 / sqrt(t).
    """

    elementwise = False

    learning_rate: LearningRate = 0.001
    beta_2_decay: Annotated[float, Field(lt=0)] = -0.8
    """Exponent of the decay rate of the second moment: beta_2 = 1 - t ** beta_2_decay in update t (from 1)."""
    epsilon_1: NonNegativeFloat = 1e-30
    """Small constant added to the squared gradients for numerical stability."""
    epsilon_2: NonNegativeFloat = 1e-3
    """Lower bound of the root mean square of a weight, to which its steps are proportional."""
    clip_threshold: PositiveFloat = 1.0
    """Maximum root mean square of a normalized step; larger steps are scaled down to it."""
    relative_step: bool = True
    """No effect, as in Keras 3: the learning rate is at most 1 / sqrt(t) in any case."""

    def slots(self) -> tuple[str, ...]:
        return ("row", "column", "velocity")

    def slot_shape(self, slot: str, name: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        if len(shape) < 2:
            return shape if slot == "velocity" else None
        return {"row": shape[:-1], "column": (*shape[:-2], shape[-1])}.get(slot)

    def update(self, weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        rate = min(context.learning_rate, 1 / math.sqrt(context.step))
        kept = 1 - context.step**self.beta_2_decay
        squares = gradient.square().add_(self.epsilon_1)
        if weight.ndim < 2:
            velocity = state["velocity"].lerp_(squares, 1 - kept)
        else:
            row = state["row"].lerp_(squares.mean(-1), 1 - kept)
            column = state["column"].lerp_(squares.mean(-2), 1 - kept)
            velocity = (row / row.mean(-1, keepdim=True)).unsqueeze(-1) * column.unsqueeze(-2)
        step = gradient / velocity.sqrt()
        size = _rms(weight).clamp(min=self.epsilon_2) * rate
        weight.sub_(step.mul_(size / (_rms(step) / self.clip_threshold).clamp(min=1)))


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()
