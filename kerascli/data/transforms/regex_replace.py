"""Transform `regex_replace`: replace matches of a regular expression, as tf.strings.regex_replace."""

import re
from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, ValidationInfo, field_validator
from pydantic import Field as Setting

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.text.patterns import MAX_CHARACTERS, RegexReplacer, check_pattern
from kerascli.data.text.texts import Texts
from kerascli.data.transforms.input_checks import need_text


@transform()
class RegexReplace(Transform):
    """Replaces all matches of `pattern`, a regular expression in Python's syntax, with `rewrite`.

    A text that takes more than 2 s of CPU time is an error: patterns such as `(a+)+$` backtrack exponentially.
    """

    takes_text = True

    pattern: Annotated[str, AfterValidator(check_pattern)]
    """Regular expression to search for anywhere in a text, for example `'[^a-z]+'`."""
    rewrite: Annotated[str, Setting(max_length=MAX_CHARACTERS)] = ""
    r"""Replacement of each match; `\1` is the match's first group, `\g<0>` the whole match."""

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

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_text(field)
        return Field(field.shape, field.dtype)

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        import pyarrow as pa

        assert isinstance(values, Texts)
        return values.having(pa.array(self._replacer(values.word_list()), values.words.type))

    @cached_property
    def _replacer(self) -> RegexReplacer:
        return RegexReplacer(self.pattern, self.rewrite)
