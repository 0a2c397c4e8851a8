"""Transforms `reshape` and `shift`, which move the values of each row."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.column import Texts
from kerascli.data.storage.convert import converted
from kerascli.data.storage.table import BadRow
from kerascli.data.transforms.input_checks import need_numbers
from kerascli.foundation.shapes import TargetShape, show_shape
from kerascli.preprocessing.function import Function


@transform()
class Reshape(Transform):
    """Reshapes each row to `target_shape`; its number of values must stay the same."""

    per_batch = "always"
    keeps_numbers = True

    target_shape: TargetShape
    """Target shape without the batch axis; one size may be -1, inferred from the remaining values."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        sizes = self.target_shape
        if None in field.shape:
            return replace(field, shape=tuple(None if size == -1 else size for size in sizes))
        count = math.prod(size for size in field.shape if size is not None)
        fixed = math.prod(size for size in sizes if size != -1)
        if count % fixed if -1 in sizes else count != fixed:
            raise ValueError(f"cannot reshape {show_shape(field.shape)} ({count} values a row) to {show_shape(sizes)}")
        return replace(field, shape=tuple(count // fixed if size == -1 else size for size in sizes))

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Function(_reshaped, self.target_shape)

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        assert isinstance(values, Texts)
        return values.reshape(len(values), *self.target_shape)

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        return _reshaped(x, self.target_shape) if field.is_text else x

    def inverse(self, field: Field, state: FittedState) -> nn.Module | None:
        shape = [size for size in field.shape if size is not None]
        return Function(_reshaped, shape) if len(shape) == len(field.shape) else None


def _reshaped(x: Tensor, target_shape: Sequence[int]) -> Tensor:  # (N, *) -> (N, *target_shape)
    return x.reshape(x.shape[0], *target_shape)


def _moves(steps: int) -> int:
    if steps == 0:
        raise ValueError("expected a number other than 0")
    return steps


@transform()
class Shift(Transform):
    """Shifts each row (time, *) by `steps` toward its beginning, padding with `value`; the shape is kept.

    `{shift: 1}` in a target pipeline over an input's column makes the next token the target of each step.
    """

    steps: Annotated[int, AfterValidator(_moves)] = 1
    """Number of time steps to shift toward the beginning; negative: toward the end. It must not be 0."""
    value: float = 0.0
    """Value that fills the vacated time steps."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        if not field.shape:
            raise ValueError("needs sequences, got one number per row")
        length = field.shape[0]
        if length is not None and abs(self.steps) >= length:
            raise ValueError(f"shifts sequences of {length} steps by {abs(self.steps)}, so that none are left")
        return field

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        try:
            converted(np.array([self.value]), np.dtype(field.dtype))
        except BadRow as bad:
            raise ValueError(f"value: {bad.text}") from None
        return Function(self._shifted)

    def _shifted(self, x: Tensor) -> Tensor:  # (N, T, *) -> (N, T, *)
        filling = torch.full_like(x[:, : abs(self.steps)], self.value)
        return torch.cat([x[:, self.steps :], filling] if self.steps > 0 else [filling, x[:, : self.steps]], 1)
