"""Shift: rows moved along their first axis: the next step as target, the step before as a decoder's input."""

from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from kerascli.data.base import Field, Learned, Transform, transform
from kerascli.data.storage.convert import converted
from kerascli.data.transforms.fitting import need_numbers


def _moves(steps: int) -> int:
    if steps == 0:
        raise ValueError("expected another number than 0")
    return steps


@transform()
class Shift(Transform):
    """Moves each row `steps` towards its beginning (below 0: towards its end); `value` fills what becomes free.

    `{shift: 1}` in a target pipeline over an input's column asks for the next token at each step.
    """

    steps: Annotated[int, AfterValidator(_moves)] = 1
    """How far; below 0: towards the end."""
    value: float = 0.0
    """What fills the places that become free."""

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        need_numbers(field)
        if not field.shape:
            raise ValueError("needs rows of several steps, got one number a row")
        length = field.shape[0]
        if length is not None and abs(self.steps) >= length:
            raise ValueError(f"moves rows of {length} steps by {abs(self.steps)}: nothing is left of them")
        return field

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        filling = converted(np.array([self.value]), values.dtype)
        out = np.full(values.shape, filling)
        if self.steps > 0:
            out[:, : -self.steps] = values[:, self.steps :]
        else:
            out[:, -self.steps :] = values[:, : self.steps]
        return out
