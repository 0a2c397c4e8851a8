"""Transforms of text to text: `enclose` adds start and end tokens, `regex_replace` replaces matches of a pattern."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, ValidationInfo, field_validator
from pydantic import Field as Setting

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.column import Texts, pa
from kerascli.data.text.patterns import MAX_CHARACTERS, Pattern, Replacement
from kerascli.data.transforms.input_checks import need_text


class Rewriting(Transform):
    """Base class of transforms that rewrite each text by itself."""

    takes_text = True

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_text(field)
        return Field(field.shape, field.dtype)

    @abstractmethod
    def words(self, words: "pa.Array") -> "Sequence[str] | pa.Array":
        """Return the distinct texts, rewritten."""

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        assert isinstance(values, Texts)
        return Texts.of(self.words(values.words), values.codes)


@transform()
class Enclose(Rewriting):
    """Adds the text `start` before and `end` after each text, verbatim: include a space if words are split there.

    `kerascli generate` begins with `start` and stops at the first token of `end`.
    """

    start: str = "<start> "
    """Text added before each text."""
    end: str = " <stop>"
    """Text added after each text."""

    def words(self, words: "pa.Array") -> list[str]:
        return [self.start + word + self.end for word in words.to_pylist()]


def _checked(pattern: str) -> str:
    Pattern(pattern)
    return pattern


@transform()
class RegexReplace(Rewriting):
    """Replaces all matches of `pattern`, a regular expression in Python's syntax, with `rewrite`.

    It takes linear time (RE2); `\\w`, `\\d`, `\\s` and `\\b` are those of Unicode. Look-around, back-references, counts
    above 1,000, `$` without `(?m)` and patterns that match the empty text (`x*`) are errors.
    """

    pattern: Annotated[str, AfterValidator(_checked)]
    """Regular expression to search for anywhere in a text, for example `'[^a-z]+'`."""
    rewrite: Annotated[str, Setting(max_length=MAX_CHARACTERS)] = ""
    r"""Replacement of each match; `\1` is the match's first group, `\g<0>` the whole match."""

    @field_validator("rewrite")
    @classmethod
    def _fits_the_pattern(cls, rewrite: str, info: ValidationInfo) -> str:
        if "pattern" in info.data:
            Replacement(Pattern(info.data["pattern"]), rewrite)
        return rewrite

    def words(self, words: "pa.Array") -> "pa.Array":
        return self._replacement(words)

    @cached_property
    def _replacement(self) -> Replacement:
        return Replacement(Pattern(self.pattern), self.rewrite)
