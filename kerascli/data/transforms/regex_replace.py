"""RegexReplace: parts of texts replaced by rule, as tf.strings.regex_replace."""

import re
from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, ValidationInfo, field_validator
from pydantic import Field as Setting

from kerascli.data.base import Field, Learned, Transform, transform
from kerascli.data.text.patterns import MAX_CHARACTERS, Replacing, check_pattern
from kerascli.data.transforms.fitting import need_text


@transform()
class RegexReplace(Transform):
    """Puts `rewrite` in place of whatever matches `pattern`, a regular expression as Python has them.

    A text for which it takes more than 2 s of CPU time is refused: `(a+)+$` tries more ways than there is time for.
    """

    pattern: Annotated[str, AfterValidator(check_pattern)]
    """What is replaced, wherever it stands in a text: `'[^a-z]+'`."""
    rewrite: Annotated[str, Setting(max_length=MAX_CHARACTERS)] = ""
    r"""What stands there then; `\1` is what the pattern's first group has found, `\g<0>` all that it has."""

    @field_validator("rewrite")
    @classmethod
    def _fits_the_pattern(cls, rewrite: str, info: ValidationInfo) -> str:
        if "pattern" not in info.data:
            return rewrite
        try:
            re.compile(info.data["pattern"]).sub(rewrite, "")
        except (re.error, IndexError) as error:
            raise ValueError(str(error)) from None
        return rewrite

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        need_text(field)
        return Field(field.shape, field.dtype)

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        out = np.empty(values.size, object)
        out[:] = self._replacing(values.reshape(-1).tolist())
        return out.reshape(values.shape)

    @cached_property
    def _replacing(self) -> Replacing:
        return Replacing(self.pattern, self.rewrite)
