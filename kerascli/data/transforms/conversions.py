"""Transforms `cast`, `to_categorical`, `reshape` and `shift`: other dtypes, one-hot vectors, values moved within a row.

`cast` and `to_categorical` refuse values that the result cannot hold.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, NotExportable, Refusal, Transform, transform
from kerascli.data.pipeline.columns import too_long
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.column import Texts, is_number, pa
from kerascli.data.storage.convert import as_tensor, not_in
from kerascli.data.storage.delimited.text_format import INEXACT, numbers_of
from kerascli.data.storage.table import BadRow
from kerascli.data.transforms.input_checks import check_value, need_integers, need_numbers
from kerascli.foundation.errors import safe_text
from kerascli.foundation.shapes import PositiveInt, TargetShape, show_shape
from kerascli.preprocessing.categories import Encoded, encoded_shape
from kerascli.preprocessing.function import Function


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
    index = too_long(words)
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
        return replace(field, shape=encoded_shape(field.shape, "one_hot", count), dtype="float32", num_classes=count)

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


@transform()
class Reshape(Transform):
    """Reshapes each row to `target_shape`; its number of values must stay the same."""

    per_batch = "always"
    keeps_numbers = True

    target_shape: TargetShape
    """Target shape without the batch axis; one size may be -1, inferred from the remaining values."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        sizes = self.target_shape
        if None in field.shape:
            return replace(field, shape=tuple(None if size == -1 else size for size in sizes))
        count = math.prod(size for size in field.shape if size is not None)
        fixed = math.prod(size for size in sizes if size != -1)
        if count % fixed if -1 in sizes else count != fixed:
            raise ValueError(f"cannot reshape {show_shape(field.shape)} ({count} values a row) to {show_shape(sizes)}")
        return replace(field, shape=tuple(count // fixed if size == -1 else size for size in sizes))

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Function(_reshaped, self.target_shape)

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        assert isinstance(values, Texts)
        return values.reshape(len(values), *self.target_shape)

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        return _reshaped(x, self.target_shape) if field.is_text else x

    def inverse(self, field: Field, state: FittedState) -> nn.Module | None:
        return None if None in field.shape else Function(_reshaped, field.shape)


def _reshaped(x: Tensor, target_shape: Sequence[int]) -> Tensor:  # (N, *) -> (N, *target_shape)
    return x.reshape(x.shape[0], *target_shape)


def _moves(steps: int) -> int:
    if steps == 0:
        raise ValueError("expected a number other than 0")
    return steps


@transform()
class Shift(Transform):
    """Shifts each row (time, *) by `steps` toward its beginning, padding with `value`; the shape is kept.

    `{shift: 1}` in a target pipeline over an input's column makes the next token the target of each step.
    """

    steps: Annotated[int, AfterValidator(_moves)] = 1
    """Number of time steps to shift toward the beginning; negative: toward the end. It must not be 0."""
    value: float = 0.0
    """Value that fills the vacated time steps."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        if not field.shape:
            raise ValueError("needs sequences, got one number per row")
        length = field.shape[0]
        if length is not None and abs(self.steps) >= length:
            raise ValueError(f"shifts sequences of {length} steps by {abs(self.steps)}, so that none are left")
        return field

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        check_value(self.value, field.dtype)
        return Function(self._shifted)

    def _shifted(self, x: Tensor) -> Tensor:  # (N, T, *) -> (N, T, *)
        filling = torch.full_like(x[:, : abs(self.steps)], self.value)
        return torch.cat([x[:, self.steps :], filling] if self.steps > 0 else [filling, x[:, : self.steps]], 1)
