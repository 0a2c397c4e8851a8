"""Transform `shift`: shift sequences in time, for next-step targets or a decoder's inputs."""

from typing import Annotated

import numpy as np
import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.convert import converted
from kerascli.data.storage.table import BadRow
from kerascli.data.transforms.input_checks import need_numbers


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
        return ShiftModule(self.steps, self.value)


class ShiftModule(nn.Module):
    """Module that shifts the first axis of each row, and fills it with a value."""

    def __init__(self, steps: int, value: float) -> None:
        super().__init__()
        self.steps, self.value = steps, value

    def forward(self, x: Tensor) -> Tensor:  # (N, T, *) -> (N, T, *)
        filling = torch.full_like(x[:, : abs(self.steps)], self.value)
        return torch.cat([x[:, self.steps :], filling] if self.steps > 0 else [filling, x[:, : self.steps]], 1)
