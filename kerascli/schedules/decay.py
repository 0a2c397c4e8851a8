"""Decay schedules: exponential, inverse time, polynomial and piecewise constant."""

import math
from typing import Self

from pydantic import model_validator

from kerascli.foundation.shapes import Floats, Ints, NonNegativeFloat, PositiveFloat, PositiveInt
from kerascli.schedules.base import Schedule, schedule


class Decay(Schedule):
    """Base class of learning rate schedules that decay from the first parameter update on."""

    initial_learning_rate: PositiveFloat
    """Learning rate of the first update."""
    decay_steps: PositiveInt
    """Number of updates of one decay period."""


@schedule()
class ExponentialDecay(Decay):
    """Exponential decay: initial_learning_rate * decay_rate ** (step / decay_steps); step is the update, from 0."""

    decay_rate: PositiveFloat
    """Factor of the learning rate per decay_steps updates."""
    staircase: bool = False
    """Use the integer part of step / decay_steps, so that the learning rate is piecewise constant."""

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate * self.decay_rate ** _periods(step, self.decay_steps, self.staircase)


@schedule()
class InverseTimeDecay(Decay):
    """Inverse time decay: initial_learning_rate / (1 + decay_rate * step / decay_steps); step is the update, from 0."""

    decay_rate: NonNegativeFloat
    """Increase of the divisor 1 + decay_rate * step / decay_steps per decay_steps updates."""
    staircase: bool = False
    """Use the integer part of step / decay_steps, so that the learning rate is piecewise constant."""

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate / (1 + self.decay_rate * _periods(step, self.decay_steps, self.staircase))


@schedule()
class PolynomialDecay(Decay):
    """Polynomial decay: (initial - end) * (1 - step / decay_steps) ** power + end; step is the update, from 0.

    After decay_steps the learning rate stays at end_learning_rate, or with `cycle` rises and decays again.
    """

    end_learning_rate: NonNegativeFloat = 0.0001
    """Learning rate at the end of the decay."""
    power: PositiveFloat = 1.0
    """Exponent of the decay; 1: linear."""
    cycle: bool = False
    """After decay_steps updates, replace decay_steps by its next multiple, which raises the learning rate again."""

    def __call__(self, step: int) -> float:
        steps = self.decay_steps * (max(1, math.ceil(step / self.decay_steps)) if self.cycle else 1)
        left = 1 - min(step, steps) / steps
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


@schedule()
class PiecewiseConstantDecay(Schedule):
    """Piecewise constant learning rate, which changes after given numbers of parameter updates.

    values[0] up to and including update boundaries[0], values[1] up to and including boundaries[1], and so on; the last
    value after the last boundary.
    """

    boundaries: Ints
    """Numbers of updates (from 0), in ascending order; after each of them the next of `values` applies."""
    values: Floats
    """Learning rates, all above 0: one more than the number of boundaries."""

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
        return self.values[sum(step > boundary for boundary in self.boundaries)]


def _periods(step: int, length: int, whole: bool) -> float:
    return float(step // length) if whole else step / length
