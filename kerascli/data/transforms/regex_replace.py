"""Transform `regex_replace`: replace matches of a regular expression, as tf.strings.regex_replace."""

from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, ValidationInfo, field_validator
from pydantic import Field as Setting

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.text.patterns import MAX_CHARACTERS, Pattern
from kerascli.data.text.replacements import Replacement
from kerascli.data.text.texts import Texts
from kerascli.data.transforms.input_checks import need_text


def _checked(pattern: str) -> str:
    Pattern(pattern)
    return pattern


@transform()
class RegexReplace(Transform):
    """Replaces all matches of `pattern`, a regular expression in Python's syntax, with `rewrite`.

    It takes linear time (RE2); `\\w`, `\\d`, `\\s` and `\\b` are those of Unicode. Look-around, back-references, counts
    above 1,000 and patterns that match the empty text as well as others (`x*`) are errors.
    """

    takes_text = True

    pattern: Annotated[str, AfterValidator(_checked)]
    """Regular expression to search for anywhere in a text, for example `'[^a-z]+'`."""
    rewrite: Annotated[str, Setting(max_length=MAX_CHARACTERS)] = ""
    r"""Replacement of each match; `\1` is the match's first group, `\g<0>` the whole match."""

    @field_validator("rewrite")
    @classmethod
    def _fits_the_pattern(cls, rewrite: str, info: ValidationInfo) -> str:
        if "pattern" not in info.data:
            return rewrite
        Replacement(Pattern(info.data["pattern"]), rewrite)
        return rewrite

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_text(field)
        return Field(field.shape, field.dtype)

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        assert isinstance(values, Texts)
        return Texts.of(self._replacement(values.words), values.codes)

    @cached_property
    def _replacement(self) -> Replacement:
        return Replacement(Pattern(self.pattern), self.rewrite)
