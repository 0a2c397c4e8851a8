"""Cosine decay schedules, without and with restarts (Loshchilov and Hutter, 2016)."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from kerascli.foundation.shapes import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from kerascli.schedules.base import Schedule, schedule


@schedule()
class CosineDecay(Schedule):
    """Cosine decay (Loshchilov and Hutter, 2016), optionally after a linear warmup.

    The learning rate falls from the initial one to alpha times it over decay_steps updates, then stays. With
    `warmup_target`, it first rises linearly to it over warmup_steps, and falls from there.
    """

    initial_learning_rate: NonNegativeFloat
    """Learning rate of the first update."""
    decay_steps: PositiveInt
    """Number of updates of the decay, after the warmup."""
    alpha: Fraction = 0.0
    """Minimum learning rate, as a fraction of the learning rate at the start of the decay."""
    warmup_target: PositiveFloat | None = None
    """Learning rate at the end of the warmup, from which the decay starts; null: no warmup."""
    warmup_steps: NonNegativeInt = 0
    """Number of updates of the warmup; needs warmup_target."""

    @model_validator(mode="after")
    def _warms_up_to_something(self) -> Self:
        if self.warmup_steps and self.warmup_target is None:
            raise ValueError("'warmup_steps' needs 'warmup_target', the rate to rise to")
        if self.warmup_target is None and self.initial_learning_rate == 0:
            raise ValueError("initial_learning_rate: must be greater than 0 without 'warmup_target'")
        return self

    def __call__(self, step: int) -> float:
        if self.warmup_target is None:
            return self._decayed(step, self.initial_learning_rate)
        if step < self.warmup_steps:
            rise = self.warmup_target - self.initial_learning_rate
            return self.initial_learning_rate + rise * step / self.warmup_steps
        return self._decayed(step - self.warmup_steps, self.warmup_target)

    def _decayed(self, step: int, top: float) -> float:
        share = 0.5 * (1 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps))
        return top * ((1 - self.alpha) * share + self.alpha)


@schedule()
class CosineDecayRestarts(Schedule):
    """Cosine decay with warm restarts (SGDR; Loshchilov and Hutter, 2016).

    Each restart's decay is t_mul times as long as the one before and starts at m_mul times its learning rate.
    """

    initial_learning_rate: PositiveFloat
    """Learning rate of the first update."""
    first_decay_steps: PositiveInt
    """Number of updates of the first decay."""
    t_mul: Annotated[float, Field(ge=1)] = 2.0
    """Factor of the number of updates of each decay, relative to the decay before."""
    m_mul: PositiveFloat = 1.0
    """Factor of the initial learning rate of each decay, relative to the decay before."""
    alpha: Fraction = 0.0
    """Minimum learning rate, as a fraction of initial_learning_rate."""

    def __call__(self, step: int) -> float:
        restarts, start, length = 0, 0.0, float(self.first_decay_steps)
        if self.t_mul == 1:
            restarts = step // self.first_decay_steps
            start = restarts * length
        else:
            while step >= start + length:
                restarts, start, length = restarts + 1, start + length, length * self.t_mul
        share = 0.5 * self.m_mul**restarts * (1 + math.cos(math.pi * (step - start) / length))
        return self.initial_learning_rate * ((1 - self.alpha) * share + self.alpha)
