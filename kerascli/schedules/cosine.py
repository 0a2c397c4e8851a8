"""Rates that fall along a cosine, once or with restarts (Loshchilov and Hutter, 2016)."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from kerascli.schedules.base import Schedule, schedule
from kerascli.shapes import Fraction, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


@schedule()
class CosineDecay(Schedule):
    """Down to alpha * initial; with `warmup_target`, first up to it in a line over `warmup_steps`."""

    initial_learning_rate: NonNegativeFloat
    """The rate of the first update."""
    decay_steps: PositiveInt
    """The number of updates over which the rate falls."""
    alpha: Fraction = 0.0
    """The part of the first rate that is left in the end."""
    warmup_target: PositiveFloat | None = None
    """The rate that it rises to; null: there is no rise."""
    warmup_steps: NonNegativeInt = 0
    """Updates over which the rate rises first."""

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
    """Falls again and again; each time is t_mul times as long and starts m_mul times as high."""

    initial_learning_rate: PositiveFloat
    """The rate of the first update."""
    first_decay_steps: PositiveInt
    """The updates of the first fall."""
    t_mul: Annotated[float, Field(ge=1)] = 2.0
    """How many times longer each fall is than the one before."""
    m_mul: PositiveFloat = 1.0
    """How many times higher each fall begins than the one before."""
    alpha: Fraction = 0.0
    """The part of the first rate that is left in the end."""

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
