"""IntegerLookup: whole numbers of any size to numbers 0, 1, ..., or to vectors over the vocabulary; and back."""

import numpy as np

from kerascli.data.base import Field, transform
from kerascli.data.transforms.fitting import need_integers
from kerascli.data.transforms.lookup import Lookup
from kerascli.preprocessing.hashing import buckets, decimals
from kerascli.preprocessing.lookup import IntegerLookupSettings


@transform()
class IntegerLookup(IntegerLookupSettings, Lookup):
    """Numbers for categories that are numbers themselves: years, postal codes, grades."""

    word = "number"
    entry_dtype = "int64"
    nothing = -1

    positive: int | None = None
    """The positive class of a binary target: that of the probability that one unit predicts. null: the last, sorted."""

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
