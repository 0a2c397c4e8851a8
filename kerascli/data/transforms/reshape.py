"""Transform `reshape`: change the shape of each row."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.text.texts import Texts
from kerascli.foundation.shapes import TargetShape, show_shape


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
        return ReshapeModule(self.target_shape)

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        assert isinstance(values, Texts)
        return values.reshape(len(values), *self.target_shape)

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        return ReshapeModule(self.target_shape)(x) if field.is_text else x

    def inverse(self, field: Field, state: FittedState) -> nn.Module | None:
        shape = [size for size in field.shape if size is not None]
        return ReshapeModule(shape) if len(shape) == len(field.shape) else None


class ReshapeModule(nn.Module):
    """Module that reshapes each row of its input."""

    def __init__(self, target_shape: Sequence[int]) -> None:
        super().__init__()
        self.target_shape = target_shape

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *target_shape)
        return x.reshape(x.shape[0], *self.target_shape)
