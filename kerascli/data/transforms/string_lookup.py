"""StringLookup: words to whole numbers, or to vectors over the vocabulary; and back."""

from typing import Literal

import numpy as np

from kerascli.data.base import Field, transform
from kerascli.data.transforms.lookup import Lookup
from kerascli.preprocessing.hashing import Salt, buckets
from kerascli.shapes import Words


@transform()
class StringLookup(Lookup):
    """Numbers for words: learned from the training rows, or given."""

    word = "word"
    entry_dtype = "string"
    nothing = ""

    mask_token: str | None = None
    oov_token: str | None = "[UNK]"
    vocabulary: str | Words | None = None
    encoding: Literal["utf-8"] = "utf-8"
    """Text is decoded by the source."""
    salt: Salt | None = None
    """Of several places for unknown words the choice follows SipHash with this key; null: FarmHash."""

    positive: str | None = None
    """The positive class of a binary target: that of the probability that one unit predicts. null: the last, sorted."""

    def check_field(self, field: Field) -> None:
        if not field.is_text and field.dtype != "unknown":
            remedy = "integer_lookup" if field.is_integer else "a numeric transform"
            raise ValueError(f"needs text, got numbers ({field.dtype}); use {remedy}")

    def parse_entry(self, line: str) -> str:
        return line

    def oov_offsets(self, unknown: np.ndarray, places: int) -> np.ndarray:
        return buckets([word.encode() for word in unknown.tolist()], places, self.salt)
