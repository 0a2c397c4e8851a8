"""Transform `to_categorical`: integer class labels to one-hot vectors, as keras.utils.to_categorical."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Refusal, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.transforms.input_checks import need_integers
from kerascli.foundation.shapes import PositiveInt
from kerascli.preprocessing.categories import Encoded


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
