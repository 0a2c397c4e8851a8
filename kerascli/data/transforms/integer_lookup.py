"""IntegerLookup: whole numbers of any size to numbers 0, 1, ..., or to vectors over the vocabulary."""

from collections.abc import Sequence

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Field, transform
from kerascli.data.transforms.fitting import need_integers
from kerascli.data.transforms.lookup import Lookup
from kerascli.shapes import Ints


@transform()
class IntegerLookup(Lookup):
    """Numbers for categories that are numbers themselves: years, postal codes, grades."""

    word = "number"

    mask_token: int | None = None
    vocabulary: Ints | None = None

    @model_validator(mode="after")
    def _sound(self) -> "IntegerLookup":
        numbers = self.vocabulary or ()
        if self.vocabulary is not None and not numbers:
            raise ValueError("vocabulary: expected at least one number")
        if len(set(numbers)) < len(numbers):
            twice = next(number for number in numbers if numbers.count(number) > 1)
            raise ValueError(f"vocabulary: {twice} stands twice")
        return self

    def given(self) -> Sequence[int] | None:
        return self.vocabulary

    def mask(self) -> int | None:
        return self.mask_token

    def check_field(self, field: Field) -> None:
        need_integers(field)

    def oov_offsets(self, unknown: np.ndarray, places: int) -> np.ndarray:
        return unknown.astype(np.int64) % places
