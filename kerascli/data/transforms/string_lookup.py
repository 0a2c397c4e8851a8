"""StringLookup: words to whole numbers, or to vectors over the vocabulary; and back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from kerascli.data.base import Field, transform
from kerascli.data.transforms.fitting import need_integers
from kerascli.data.transforms.lookup import Lookup
from kerascli.preprocessing.hashing import Salt, buckets
from kerascli.shapes import Words


@transform()
class StringLookup(Lookup):
    """Numbers for words: learned from the training rows, or given."""

    word = "word"

    mask_token: str | None = None
    oov_token: str | None = "[UNK]"
    vocabulary: str | Words | None = None
    encoding: Literal["utf-8"] = "utf-8"
    """Text is decoded by the source."""
    salt: Salt | None = None
    """Of several places for unknown words the choice follows SipHash with this key; null: FarmHash."""

    def check_field(self, field: Field) -> None:
        if not field.is_text and field.dtype != "unknown":
            remedy = "integer_lookup" if field.is_integer else "a numeric transform"
            raise ValueError(f"needs text, got numbers ({field.dtype}); use {remedy}")

    def parse_entry(self, line: str) -> str:
        return line

    def oov_offsets(self, unknown: np.ndarray, places: int) -> np.ndarray:
        return buckets([word.encode() for word in unknown.tolist()], places, self.salt)

    def infer_inverse(self, field: Field) -> Field:
        need_integers(field)
        return replace(field, dtype="string", num_classes=None, classes=None)

    def restore(self, entries: Sequence[Any], indices: np.ndarray) -> np.ndarray:
        mask = [] if self.mask_token is None else [self.mask_token]
        unknown = "" if self.oov_token is None else self.oov_token
        return by_number([*mask, *[unknown] * self._places(False), *entries], unknown, indices, object)


def by_number(entries: Sequence[Any], unknown: Any, indices: np.ndarray, dtype: Any) -> np.ndarray:
    """Entries by their places; `unknown` where there is no such place."""
    table = np.array([*entries, unknown], dtype)
    return table[np.where((indices >= 0) & (indices < len(entries)), indices, len(entries))]
