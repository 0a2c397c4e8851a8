"""Rates that fall by a formula: exponential, inverse time, polynomial, piecewise constant."""

import math
from typing import Self

from pydantic import model_validator

from kerascli.schedules.base import Schedule, schedule
from kerascli.shapes import Floats, Ints, NonNegativeFloat, PositiveFloat, PositiveInt


@schedule()
class ExponentialDecay(Schedule):
    """initial * decay_rate ** (step / decay_steps)."""

    initial_learning_rate: PositiveFloat
    """The rate of the first update."""
    decay_steps: PositiveInt
    """The number of updates over which the rate falls."""
    decay_rate: PositiveFloat
    """How much the rate falls in decay_steps."""
    staircase: bool = False
    """The rate falls in steps, not smoothly."""

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate * self.decay_rate ** _periods(step, self.decay_steps, self.staircase)


@schedule()
class InverseTimeDecay(Schedule):
    """initial / (1 + decay_rate * step / decay_steps)."""

    initial_learning_rate: PositiveFloat
    """The rate of the first update."""
    decay_steps: PositiveInt
    """The number of updates over which the rate falls."""
    decay_rate: NonNegativeFloat
    """How much the rate falls in decay_steps."""
    staircase: bool = False
    """The rate falls in steps, not smoothly."""

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate / (1 + self.decay_rate * _periods(step, self.decay_steps, self.staircase))


@schedule()
class PolynomialDecay(Schedule):
    """From initial to end along (1 - step / decay_steps) ** power; with `cycle`, over and over, ever slower."""

    initial_learning_rate: PositiveFloat
    """The rate of the first update."""
    decay_steps: PositiveInt
    """The number of updates over which the rate falls."""
    end_learning_rate: NonNegativeFloat = 0.0001
    """The rate after decay_steps."""
    power: PositiveFloat = 1.0
    """The exponent of the fall; 1: along a line."""
    cycle: bool = False
    """Start again, over a longer time, when the end is reached."""

    def __call__(self, step: int) -> float:
        steps = self.decay_steps * (max(1, math.ceil(step / self.decay_steps)) if self.cycle else 1)
        left = 1 - min(step, steps) / steps
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


@schedule()
class PiecewiseConstantDecay(Schedule):
    """values[0] up to and including step boundaries[0], values[1] up to boundaries[1] ..., then the last."""

    boundaries: Ints
    """The updates after which the next value holds."""
    values: Floats
    """The rates: one more than there are boundaries."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        boundaries, values = self.boundaries, self.values
        if not boundaries or len(values) != len(boundaries) + 1:
            counts = f"{len(boundaries)} boundaries and {len(values)} values"
            raise ValueError(f"expected at least one of 'boundaries' and one more of 'values', got {counts}")
        if list(boundaries) != sorted(set(boundaries)):
            raise ValueError(f"expected 'boundaries' in rising order, got {list(boundaries)}")
        if min(values) <= 0:
            raise ValueError(f"expected 'values' greater than 0, got {min(values)}")
        return self

    def __call__(self, step: int) -> float:
        passed = sum(step > boundary for boundary in self.boundaries)
        return self.values[passed]


def _periods(step: int, length: int, whole: bool) -> float:
    return float(step // length) if whole else step / length
