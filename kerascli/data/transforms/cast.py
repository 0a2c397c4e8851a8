"""Transform `cast`: conversion to another dtype, refusing values that it cannot hold."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, NotExportable, Refusal, Transform, transform
from kerascli.data.pipeline.columns import is_number
from kerascli.data.storage.convert import as_tensor, not_in
from kerascli.data.storage.delimited.text_format import INEXACT, first_inexact, numbers_of
from kerascli.data.storage.table import BadRow
from kerascli.foundation.errors import safe_text
from kerascli.preprocessing.function import Function

if TYPE_CHECKING:
    import pyarrow as pa


@transform()
class Cast(Transform):
    """Casts values, numeric text included, to another dtype; the shape is kept.

    A value that the dtype cannot represent is an error that names its row.
    """

    per_batch = "exact"
    keeps_numbers = True

    dtype: Literal["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
    """The dtype of the output."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        return replace(field, dtype=self.dtype)

    def codes(self, values: "pa.Array | Tensor", state: FittedState, *, target: bool) -> Tensor:
        return values if isinstance(values, Tensor) else as_tensor(_parsed(values.to_pylist()))

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        if field.is_text:
            raise NotExportable("numbers in text are read before the export: let the source read the column as numbers")
        return x

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        return not_in(self.dtype, x)

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Function(Tensor.to, getattr(torch, self.dtype))

    def inverse(self, field: Field, state: FittedState) -> nn.Module | None:
        """Return the module that undoes the cast in predictions: the identity, as they have no dtype to be cast back
        to. None for text and casts to bool."""
        return None if self.dtype == "bool" or field.is_text else nn.Identity()


def _parsed(words: Sequence[str]) -> np.ndarray:
    """Parse texts to integers if every text is an integer, else to float64, with nan for empty text. Raises BadRow."""
    numbers = numbers_of(words)
    if numbers is not None:
        return numbers
    for index, word in enumerate(words):
        if word != "" and not is_number(word):
            raise BadRow(index, f"'{safe_text(word, 40)}' is not a number")
    index = first_inexact(words, np.array([float(word) if word else np.nan for word in words]))
    assert index is not None
    text = f"{safe_text(words[index], 40)} {INEXACT}"
    raise BadRow(index, text, hint="string_lookup accepts it as a string")
