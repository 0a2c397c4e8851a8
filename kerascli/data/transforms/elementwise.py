"""Transforms `log`, `log1p` and `sqrt`: compress large values; for targets, `predict` undoes them."""

from collections.abc import Callable, Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Refusal, Transform, transform
from kerascli.data.transforms.input_checks import computed
from kerascli.preprocessing.function import Function


class Elementwise(Transform):
    """Base class of transforms that apply an invertible function to each value, in float64."""

    lowest: ClassVar[float] = 0
    """Number from which on the function is defined."""
    takes_lowest: ClassVar[bool] = False
    """True if the function is defined for `lowest` itself, false if only above it."""
    function: ClassVar[Callable[[Tensor], Tensor]]
    undone: ClassVar[Callable[[Tensor], Tensor]]

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        return computed(field, "float64")

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        values, low = x.double(), self.lowest
        expected = f"numbers from {low} on" if self.takes_lowest else f"numbers above {low}"
        yield Refusal(
            values < low if self.takes_lowest else values <= low,
            lambda value: f"{self.component_name} of {value:g}: expected {expected}",
            lambda value: "log1p takes 0, too" if value == 0 else None,
        )

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Function(type(self).function, dtype=torch.float64)

    def inverse(self, field: Field, state: FittedState) -> nn.Module:
        return Function(type(self).undone, dtype=torch.float64)


@transform()
class Log(Elementwise):
    """Natural logarithm of each value, for prices, counts and other positive numbers of all magnitudes.

    The inverse of a mean is not the mean: a model of the log that is trained by `mean_squared_error` predicts the
    geometric mean of the target, which is lower than the mean.
    """

    function = torch.log
    undone = torch.exp


@transform(name="log1p")
class Log1p(Elementwise):
    """Natural logarithm of 1 + each value, which is defined for 0, too (`numpy.log1p`)."""

    lowest = -1
    function = torch.log1p
    undone = torch.expm1


@transform()
class Sqrt(Elementwise):
    """Square root of each value, for example of counts or areas."""

    takes_lowest = True
    function = torch.sqrt
    undone = torch.square
