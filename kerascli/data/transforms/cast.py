"""Transform `cast`: conversion to another dtype, refusing values that it cannot hold."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import EXACT_IN_FLOAT32, Field, FittedState, Inverse, Transform, transform
from kerascli.data.pipeline.columns import is_number
from kerascli.data.storage.convert import converted
from kerascli.data.storage.delimited.text_format import INEXACT, first_inexact, numbers_of
from kerascli.data.storage.table import BadRow
from kerascli.foundation.errors import safe_text


@transform()
class Cast(Transform):
    """Casts values, numeric text included, to another dtype; the shape is kept.

    A value that the dtype cannot represent is an error that names its row.
    """

    keeps_numbers = True

    dtype: Literal["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
    """The dtype of the output."""

    def in_batch(self, field: Field) -> bool:
        """Return True if the cast is to float32, and exact for the input's dtype; any other cast is done in advance."""
        return self.dtype == "float32" and field.dtype in EXACT_IN_FLOAT32

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        return replace(field, dtype=self.dtype)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        numbers = _parsed(values) if values.dtype == object else values
        return converted(numbers, np.dtype(self.dtype))

    def batch(self, field: Field, learned: FittedState, *, target: bool) -> nn.Module:
        return _ToFloat()

    def inverse(self, field: Field, learned: FittedState) -> Inverse | None:
        """Return the function that undoes the cast in predictions: the identity, as they have no dtype to be cast back
        to. None for text and casts to bool."""
        return None if self.dtype == "bool" or field.is_text else np.asarray


class _ToFloat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        return x.to(torch.float32)


def _parsed(values: np.ndarray) -> np.ndarray:
    """Parse text to integers if every text is an integer, else to float64, with nan for empty text. Raises BadRow."""
    words = values.reshape(-1).tolist()
    numbers = numbers_of(words)
    if numbers is not None:
        return numbers.reshape(values.shape)
    a_row = len(words) // len(values)
    for index, word in enumerate(words):
        if word != "" and not is_number(word):
            raise BadRow(index // a_row, f"'{safe_text(word, 40)}' is not a number", at=(index % a_row, a_row))
    numbers = np.array([float(word) if word else np.nan for word in words])
    index = first_inexact(words, numbers)
    assert index is not None
    text = f"{safe_text(words[index], 40)} {INEXACT}"
    raise BadRow(index // a_row, text, at=(index % a_row, a_row), hint="string_lookup accepts it as a string")
