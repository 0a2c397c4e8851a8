"""IntegerLookup: whole numbers of any size to numbers 0, 1, ..., or to vectors over the vocabulary; and back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Field, transform
from kerascli.data.transforms.fitting import need_integers
from kerascli.data.transforms.lookup import Lookup
from kerascli.data.transforms.string_lookup import by_number
from kerascli.preprocessing.hashing import Salt, buckets, decimals
from kerascli.shapes import Ints


@transform()
class IntegerLookup(Lookup):
    """Numbers for categories that are numbers themselves: years, postal codes, grades."""

    word = "number"

    mask_token: int | None = None
    oov_token: int | None = -1
    vocabulary: str | Ints | None = None
    vocabulary_dtype: Literal["int64"] = "int64"
    """Keras knows this type alone."""
    oov_method: Literal["floormod", "farmhash"] = "floormod"
    """Of several places for unknown numbers the choice: the remainder of a division, or a hash."""
    salt: Salt | None = None
    """With farmhash: choose by SipHash with this key instead."""

    @model_validator(mode="after")
    def _salted(self) -> Self:
        if self.salt is not None and self.oov_method != "farmhash":
            raise ValueError("'salt' goes with oov_method farmhash")
        return self

    def check_field(self, field: Field) -> None:
        need_integers(field)

    def parse_entry(self, line: str) -> int:
        try:
            return int(line)
        except ValueError:
            raise ValueError("expected a whole number") from None

    def oov_offsets(self, unknown: np.ndarray, places: int) -> np.ndarray:
        if self.oov_method == "floormod":
            return unknown.astype(np.int64) % places
        return buckets(decimals(unknown), places, self.salt)

    def infer_inverse(self, field: Field) -> Field:
        need_integers(field)
        return replace(field, dtype="int64", num_classes=None, classes=None)

    def restore(self, entries: Sequence[Any], indices: np.ndarray) -> np.ndarray:
        mask = [] if self.mask_token is None else [self.mask_token]
        unknown = -1 if self.oov_token is None else self.oov_token
        return by_number([*mask, *[unknown] * self._places(False), *entries], unknown, indices, np.int64)
