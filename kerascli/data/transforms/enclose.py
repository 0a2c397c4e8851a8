"""Transform `enclose`: start and end tokens around each text, as a decoder needs."""

from typing import Self

import numpy as np

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.text.texts import Texts
from kerascli.data.transforms.input_checks import need_text


@transform()
class Enclose(Transform):
    """Adds the text `start` before and `end` after each text, verbatim: include a space if words are split there.

    `kerascli generate` begins with `start` and stops at the first token of `end`.
    """

    takes_text = True

    start: str = "<start> "
    """Text added before each text."""
    end: str = " <stop>"
    """Text added after each text."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_text(field)
        return Field(field.shape, field.dtype)

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        assert isinstance(values, Texts)
        return Texts.of([self.start + word + self.end for word in values.word_list()], values.codes)

    def opened(self) -> Self:
        """Return a copy of this transform that adds no `end` text, for texts that are to be continued."""
        return self.model_copy(update={"end": ""})
