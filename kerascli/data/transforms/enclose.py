"""Enclose: a mark before each text and one behind it, by which a decoder begins and ends."""

from typing import Self

import numpy as np

from kerascli.data.base import Field, Learned, Transform, transform
from kerascli.data.transforms.fitting import need_text


@transform()
class Enclose(Transform):
    """Puts `start` before each text and `end` behind it, as they are: with a space, if words are split there.

    `kerascli generate` begins with `start`, and stops at the first word of `end`.
    """

    start: str = "<start> "
    """What comes first."""
    end: str = " <stop>"
    """What comes last."""

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        need_text(field)
        return Field(field.shape, field.dtype)

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        return self.start + values.astype(object) + self.end

    def opened(self) -> Self:
        """The same without an end: of texts that are to be continued."""
        return self.model_copy(update={"end": ""})
