"""RegexReplace: parts of texts replaced by rule, as tf.strings.regex_replace."""

import re
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, ValidationInfo, field_validator

from kerascli.data.base import Field, Learned, Transform, transform
from kerascli.data.transforms.fitting import need_text


def _sound(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return pattern


@transform()
class RegexReplace(Transform):
    """Puts `rewrite` in place of whatever matches `pattern`, a regular expression as Python has them."""

    pattern: Annotated[str, AfterValidator(_sound)]
    """What is replaced, wherever it stands in a text: `'[^a-z]+'`."""
    rewrite: str = ""
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
        replaced = re.compile(self.pattern).sub
        out = np.empty(values.size, object)
        out[:] = [replaced(self.rewrite, text) for text in values.reshape(-1).tolist()]
        return out.reshape(values.shape)
