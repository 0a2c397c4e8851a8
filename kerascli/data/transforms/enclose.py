"""Transform `enclose`: start and end tokens around each text, as a decoder needs."""

from typing import Self

import numpy as np

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.transforms.input_checks import need_text


@transform()
class Enclose(Transform):
    """Adds the text `start` before and `end` after each text, verbatim: include a space if words are split there.

    `kerascli generate` begins with `start` and stops at the first token of `end`.
    """

    start: str = "<start> "
    """Text added before each text."""
    end: str = " <stop>"
    """Text added after each text."""

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        need_text(field)
        return Field(field.shape, field.dtype)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        return self.start + values.astype(object) + self.end

    def opened(self) -> Self:
        """Return a copy of this transform that adds no `end` text, for texts that are to be continued."""
        return self.model_copy(update={"end": ""})
