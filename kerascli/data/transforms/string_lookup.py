"""StringLookup: words to whole numbers, or to vectors over the vocabulary."""

from collections.abc import Sequence

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Field, transform
from kerascli.data.transforms.lookup import Lookup
from kerascli.shapes import Words


@transform()
class StringLookup(Lookup):
    """Numbers for words: learned from the training rows, or given."""

    word = "word"

    mask_token: str | None = None
    vocabulary: Words | None = None

    @model_validator(mode="after")
    def _sound(self) -> "StringLookup":
        words = self.vocabulary or ()
        if self.vocabulary is not None and not words:
            raise ValueError("vocabulary: expected at least one word")
        if len(set(words)) < len(words):
            twice = next(word for word in words if words.count(word) > 1)
            raise ValueError(f"vocabulary: '{twice}' stands twice")
        if (self.num_oov_indices or 0) > 1:
            raise ValueError("num_oov_indices: expected 0 or 1 for words")
        return self

    def given(self) -> Sequence[str] | None:
        return self.vocabulary

    def mask(self) -> str | None:
        return self.mask_token

    def check_field(self, field: Field) -> None:
        if not field.is_text and field.dtype != "unknown":
            remedy = "integer_lookup" if field.is_integer else "a numeric transform"
            raise ValueError(f"needs text, got numbers ({field.dtype}); use {remedy}")

    def oov_offsets(self, unknown: np.ndarray, places: int) -> np.ndarray:
        return np.zeros(len(unknown), np.int64)
