"""Transforms `cast` and `to_categorical`: numbers of another dtype, and class labels as one-hot vectors.

Both refuse values that the result cannot hold.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, NotExportable, Refusal, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.column import is_number
from kerascli.data.storage.convert import as_tensor, not_in
from kerascli.data.storage.delimited.text_format import INEXACT, first_inexact, numbers_of
from kerascli.data.storage.table import BadRow
from kerascli.data.transforms.input_checks import need_integers
from kerascli.foundation.errors import safe_text
from kerascli.foundation.shapes import PositiveInt
from kerascli.preprocessing.categories import Encoded
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
    wrong = [index for index, word in enumerate(words) if word != "" and not is_number(word)]
    if wrong:
        raise BadRow(wrong[0], f"'{safe_text(words[wrong[0]], 40)}' is not a number", rows=np.array(wrong))
    index = first_inexact(words, np.array([float(word) if word else np.nan for word in words]))
    assert index is not None
    text = f"{safe_text(words[index], 40)} {INEXACT}"
    raise BadRow(index, text, hint="string_lookup accepts it as a string")


@transform()
class ToCategorical(Transform):
    """Converts integer class labels (N,) or (N, 1) to one-hot vectors (N, num_classes), float32.

    As keras.utils.to_categorical.
    """

    per_batch = "always"

    num_classes: PositiveInt | None = None
    """Number of classes; null: from previous steps or the data source, else from the largest training label."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if field.is_text:
            line = "string_lookup: {num_oov_indices: 0, output_mode: one_hot}"
            raise ValueError(f"needs integers, got text; write {line} in its place")
        need_integers(field)
        count = self._count(field, state)
        leading = field.shape[:-1] if len(field.shape) > 0 and field.shape[-1] == 1 else field.shape
        return replace(field, shape=(*leading, count), dtype="float32", num_classes=count)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        return FittedState({"num_classes": int(max(block.max() for block in rows)) + 1}, {})

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        x, count = x.long(), self._count(field, state) or 0
        text = f"is outside 0..{count - 1} (num_classes {count})"
        yield Refusal((x < 0) | (x >= count), lambda value: f"class {value} {text}")

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Encoded("one_hot", self._count(field, state) or 0, torch.float32)

    def _count(self, field: Field, state: FittedState | None) -> int | None:
        learned_count = None if state is None else state.facts.get("num_classes")
        return self.num_classes or field.num_classes or field.vocabulary_size or learned_count
