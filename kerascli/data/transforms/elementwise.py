"""Transforms `log`, `log1p` and `sqrt`: compress large values; for targets, `predict` undoes them."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Refusal, Transform, transform
from kerascli.data.transforms.input_checks import need_numbers


class Elementwise(Transform):
    """Base class of transforms that apply an invertible function to each value, in float64."""

    expected: ClassVar[str]
    """Description, for messages, of the values that the function is defined for ("numbers above 0")."""
    function: ClassVar[Callable[[Tensor], Tensor]]
    undone: ClassVar[Callable[[Tensor], Tensor]]

    @abstractmethod
    def outside(self, values: Tensor) -> Tensor:
        """Return a mask of the values for which the function is not defined, other than missing values (nan)."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        return replace(field, dtype="float64", num_classes=None, classes=None)

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        yield Refusal(
            self.outside(x.double()),
            lambda value: f"{self.component_name} of {value:g}: expected {self.expected}",
            lambda value: "log1p takes 0, too" if value == 0 else None,
        )

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Function(type(self).function)

    def inverse(self, field: Field, state: FittedState) -> nn.Module:
        return Function(type(self).undone)


def _log1p(x: Tensor) -> Tensor:
    """Return log(1 + x); ONNX has no operation that keeps the digits of small numbers, but a formula of Kahan does."""
    if not torch.compiler.is_exporting():
        return torch.log1p(x)
    u = 1 + x
    return torch.where(u == 1, x, u.log() * x / (u - 1))


def _expm1(x: Tensor) -> Tensor:
    """Return exp(x) - 1, in ONNX by a formula of Kahan as in `_log1p`."""
    if not torch.compiler.is_exporting():
        return torch.expm1(x)
    u = x.exp()
    small = torch.where(u.log() == 0, x, (u - 1) * x / u.log())
    return torch.where(x.abs() < 0.5, small, u - 1)


class Function(nn.Module):
    """Module that applies a function to each value, in float64."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        return self.function(x.double())


@transform()
class Log(Elementwise):
    """Natural logarithm of each value, for prices, counts and other positive numbers of all magnitudes.

    The inverse of a mean is not the mean: a model of the log that is trained by `mean_squared_error` predicts the
    geometric mean of the target, which is lower than the mean.
    """

    expected = "numbers above 0"
    function = torch.log
    undone = torch.exp

    def outside(self, values: Tensor) -> Tensor:
        return values <= 0


@transform(name="log1p")
class Log1p(Elementwise):
    """Natural logarithm of 1 + each value, which is defined for 0, too (`numpy.log1p`)."""

    expected = "numbers above -1"
    function = _log1p
    undone = _expm1

    def outside(self, values: Tensor) -> Tensor:
        return values <= -1


@transform()
class Sqrt(Elementwise):
    """Square root of each value, for example of counts or areas."""

    expected = "numbers from 0 on"
    function = torch.sqrt
    undone = torch.square

    def outside(self, values: Tensor) -> Tensor:
        return values < 0
