"""Transform `string_lookup`: map strings to vocabulary indices or to vectors over the vocabulary, and back."""

from typing import Literal

import numpy as np

from kerascli.data.base import Field, transform
from kerascli.data.transforms.lookup import Lookup
from kerascli.foundation.shapes import Words
from kerascli.preprocessing.hashing import Salt, buckets


@transform()
class StringLookup(Lookup):
    """Maps strings to vocabulary indices or vectors, or back with `invert`, as keras.layers.StringLookup.

    The vocabulary is given, or learned from the training rows in order of frequency. Out-of-vocabulary (OOV) strings
    get index 0 by default; in targets they are an error, and the vocabulary is sorted.
    """

    entry_noun = "string"
    entry_dtype = "string"
    oov_output = ""

    mask_token: str | None = None
    oov_token: str | None = "[UNK]"
    vocabulary: str | Words | None = None
    encoding: Literal["utf-8"] = "utf-8"
    """Text encoding, as in Keras's signature; only utf-8 is possible, since the data source decodes the text."""
    salt: Salt | None = None
    """Key of SipHash, which picks one of several OOV indices for a string; null: FarmHash picks it."""

    positive: str | None = None
    """Class of a binary target that counts as positive: a single output unit predicts its probability.
    null: the last class in sorted order."""

    def check_field(self, field: Field) -> None:
        if not field.is_text and field.dtype != "unknown":
            remedy = "integer_lookup" if field.is_integer else "a numeric transform"
            raise ValueError(f"needs text, got numbers ({field.dtype}); use {remedy}")

    def parse_entry(self, line: str) -> str:
        return line

    def oov_offsets(self, unknown: np.ndarray, places: int) -> np.ndarray:
        return buckets([word.encode() for word in unknown.tolist()], places, self.salt)
