"""Transform `to_categorical`: integer class labels to one-hot vectors, as keras.utils.to_categorical."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.table import BadRow, first_wrong
from kerascli.data.transforms.input_checks import need_integers
from kerascli.foundation.shapes import PositiveInt


@transform()
class ToCategorical(Transform):
    """Converts integer class labels (N,) or (N, 1) to one-hot vectors (N, num_classes), float32.

    As keras.utils.to_categorical.
    """

    needs_rows = True

    num_classes: PositiveInt | None = None
    """Number of classes; null: from previous steps or the data source, else from the largest training label."""

    def in_batch(self, field: Field) -> bool:
        return True

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        if field.is_text:
            line = "string_lookup: {num_oov_indices: 0, output_mode: one_hot}"
            raise ValueError(f"needs integers, got text; write {line} in its place")
        need_integers(field)
        count = self._count(field, learned)
        leading = field.shape[:-1] if len(field.shape) > 0 and field.shape[-1] == 1 else field.shape
        return replace(field, shape=(*leading, count), dtype="float32", num_classes=count)

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        return FittedState({"num_classes": int(max(block.max() for block in rows)) + 1}, {})

    def check(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> None:
        count = self._count(field, learned)
        assert count is not None
        rows = values.reshape(len(values), -1)
        bad = (rows < 0) | (rows >= count)
        if bad.any():
            row, at = first_wrong(bad)
            raise BadRow(row, f"class {rows[row, at[0]]} is outside 0..{count - 1} (num_classes {count})", at=at)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        return super().apply(values, field, learned, target=target)

    def batch(self, field: Field, learned: FittedState, *, target: bool) -> nn.Module:
        count = self._count(field, learned)
        assert count is not None
        return _OneHot(count)

    def _count(self, field: Field, learned: FittedState | None) -> int | None:
        learned_count = None if learned is None else learned.facts.get("num_classes")
        return self.num_classes or field.num_classes or field.vocabulary_size or learned_count


class _OneHot(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:  # (N, *) or (N, *, 1) -> (N, *, count)
        x = x.squeeze(-1) if x.ndim > 1 and x.shape[-1] == 1 else x
        return (x.unsqueeze(-1) == torch.arange(self.count, device=x.device)).float()
