"""IntegerLookup: whole numbers of any size to numbers 0, 1, ..., or to vectors over the vocabulary; and back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kerascli.data.base import Field, transform
from kerascli.data.transforms.fitting import need_integers
from kerascli.data.transforms.lookup import Lookup
from kerascli.data.transforms.string_lookup import by_number
from kerascli.preprocessing.hashing import buckets, decimals
from kerascli.preprocessing.lookup import IntegerLookupSettings


@transform()
class IntegerLookup(IntegerLookupSettings, Lookup):
    """Numbers for categories that are numbers themselves: years, postal codes, grades."""

    word = "number"

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
