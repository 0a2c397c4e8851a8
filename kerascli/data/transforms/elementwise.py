"""Transforms `log`, `log1p` and `sqrt`: compress large values; for targets, `predict` undoes them."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np

from kerascli.data.base import Field, FittedState, Inverse, Transform, transform
from kerascli.data.storage.table import BadRow, first_wrong
from kerascli.data.transforms.input_checks import need_numbers


class Elementwise(Transform):
    """Base class of transforms that apply an invertible function to each value, in float64."""

    needs_rows = True

    expected: ClassVar[str]
    """Description, for messages, of the values that the function is defined for ("numbers above 0")."""
    function: ClassVar[Callable[[np.ndarray], np.ndarray]]
    undone: ClassVar[Callable[[np.ndarray], np.ndarray]]

    @abstractmethod
    def outside(self, values: np.ndarray) -> np.ndarray:
        """Return a mask of the values for which the function is not defined, other than missing values (nan)."""

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        return replace(field, dtype="float64", num_classes=None, classes=None)

    def check(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> None:
        wrong = self.outside(values)
        if wrong.any():
            row, at = first_wrong(wrong)
            value = values.reshape(len(values), -1)[row, at[0]]
            hint = "log1p takes 0, too" if value == 0 else None
            raise BadRow(row, f"{self.component_name} of {value:g}: expected {self.expected}", at=at, hint=hint)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        return type(self).function(values.astype(np.float64))

    def inverse(self, field: Field, learned: FittedState) -> Inverse:
        return type(self).undone


@transform()
class Log(Elementwise):
    """Natural logarithm of each value, for prices, counts and other positive numbers of all magnitudes.

    The inverse of a mean is not the mean: a model of the log that is trained by `mean_squared_error` predicts the
    geometric mean of the target, which is lower than the mean.
    """

    expected = "numbers above 0"
    function = np.log
    undone = np.exp

    def outside(self, values: np.ndarray) -> np.ndarray:
        return values <= 0


@transform(name="log1p")
class Log1p(Elementwise):
    """Natural logarithm of 1 + each value, which is defined for 0, too (`numpy.log1p`)."""

    expected = "numbers above -1"
    function = np.log1p
    undone = np.expm1

    def outside(self, values: np.ndarray) -> np.ndarray:
        return values <= -1


@transform()
class Sqrt(Elementwise):
    """Square root of each value, for example of counts or areas."""

    expected = "numbers from 0 on"
    function = np.sqrt
    undone = np.square

    def outside(self, values: np.ndarray) -> np.ndarray:
        return values < 0
