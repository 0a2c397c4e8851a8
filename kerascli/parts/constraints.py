"""Constraints: projections of weights, applied after each update (keras.constraints)."""

from torch import Tensor

from kerascli.foundation.shapes import Axes, Fraction, NonNegativeFloat
from kerascli.parts.base import CONSTRAINTS, Constraint, part

EPSILON = 1e-7


@part(CONSTRAINTS)
class MaxNorm(Constraint):
    """Constraint that scales weights so that their L2 norms along `axis` are at most `max_value`.

    Along axis 0 of a dense kernel (inputs, units), the norm is that of each unit's incoming weights.
    """

    max_value: NonNegativeFloat = 2.0
    """Maximum L2 norm of the weights along `axis`."""
    axis: Axes = 0

    def __call__(self, weight: Tensor) -> Tensor:
        norms = _norms(weight, self.axis)
        return weight * (norms.clamp(0, self.max_value) / (EPSILON + norms))


@part(CONSTRAINTS)
class NonNeg(Constraint):
    """Constraint that sets negative weights to 0."""

    def __call__(self, weight: Tensor) -> Tensor:
        return weight.clamp(min=0)


@part(CONSTRAINTS)
class Clip(Constraint):
    """Constraint that clips weights to [min_value, max_value], such as the pixels of a picture."""

    min_value: float = 0.0
    """Minimum of a weight."""
    max_value: float = 1.0
    """Maximum of a weight."""

    def __call__(self, weight: Tensor) -> Tensor:
        return weight.clamp(self.min_value, self.max_value)


@part(CONSTRAINTS)
class UnitNorm(Constraint):
    """Constraint that scales weights to an L2 norm of 1 along `axis`."""

    axis: Axes = 0

    def __call__(self, weight: Tensor) -> Tensor:
        return weight / (EPSILON + _norms(weight, self.axis))


@part(CONSTRAINTS)
class MinMaxNorm(Constraint):
    """Constraint that scales weights so that their L2 norms along `axis` are in [min_value, max_value].

    With a `rate` below 1 each update moves the norm only by that fraction of the way.
    """

    min_value: NonNegativeFloat = 0.0
    """Minimum L2 norm of the weights along `axis`."""
    max_value: NonNegativeFloat = 1.0
    """Maximum L2 norm of the weights along `axis`."""
    rate: Fraction = 1.0
    """Rate at which an update moves norms to their limits: norm = rate * clip(norm) + (1 - rate) * norm; 1: at once."""
    axis: Axes = 0

    def __call__(self, weight: Tensor) -> Tensor:
        norms = _norms(weight, self.axis)
        desired = self.rate * norms.clamp(self.min_value, self.max_value) + (1 - self.rate) * norms
        return weight * (desired / (EPSILON + norms))


def _norms(weight: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    return weight.square().sum(axis, keepdim=True).sqrt()
