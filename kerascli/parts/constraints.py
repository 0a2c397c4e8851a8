"""Constraints: projections of weights after each update (keras.constraints)."""

from torch import Tensor

from kerascli.parts.base import CONSTRAINTS, Constraint, part
from kerascli.shapes import Axes, Fraction, NonNegativeFloat

EPSILON = 1e-7


@part(CONSTRAINTS)
class MaxNorm(Constraint):
    """Norms along `axis` at most `max_value`; axis 0 of a dense kernel: the weights into one unit."""

    max_value: NonNegativeFloat = 2.0
    """The largest norm."""
    axis: Axes = 0

    def __call__(self, weight: Tensor) -> Tensor:
        norms = _norms(weight, self.axis)
        return weight * (norms.clamp(0, self.max_value) / (EPSILON + norms))


@part(CONSTRAINTS)
class NonNeg(Constraint):
    """No weight below 0."""

    def __call__(self, weight: Tensor) -> Tensor:
        return weight.clamp(min=0)


@part(CONSTRAINTS)
class UnitNorm(Constraint):
    """Norms along `axis` of 1."""

    axis: Axes = 0

    def __call__(self, weight: Tensor) -> Tensor:
        return weight / (EPSILON + _norms(weight, self.axis))


@part(CONSTRAINTS)
class MinMaxNorm(Constraint):
    """Norms along `axis` pulled into [min_value, max_value]; `rate` below 1: only part of the way."""

    min_value: NonNegativeFloat = 0.0
    """The smallest norm."""
    max_value: NonNegativeFloat = 1.0
    """The largest norm."""
    rate: Fraction = 1.0
    """How much of the way to the limits each update goes; 1: all of it."""
    axis: Axes = 0

    def __call__(self, weight: Tensor) -> Tensor:
        norms = _norms(weight, self.axis)
        desired = self.rate * norms.clamp(self.min_value, self.max_value) + (1 - self.rate) * norms
        return weight * (desired / (EPSILON + norms))


def _norms(weight: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    return weight.square().sum(axis, keepdim=True).sqrt()
