"""CategoryEncoding as a transform: on the device, batch by batch."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from kerascli.data.base import Field, Learned, Transform, transform
from kerascli.data.table import BadRow
from kerascli.data.transforms.fitting import need_integers
from kerascli.preprocessing.categories import encoded_shape
from kerascli.preprocessing.category_encoding import CategoryEncodingModule, CategoryEncodingSettings


@transform()
class CategoryEncoding(CategoryEncodingSettings, Transform):
    """Makes vectors over all categories of their numbers."""

    needs_rows = True

    def in_batch(self, field: Field) -> bool:
        return True

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        need_integers(field)
        shape = encoded_shape(field.shape, self.output_mode, self.num_tokens)
        return replace(field, shape=shape, dtype="float32", num_classes=self.num_tokens)

    def check(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> None:
        bad = (values < 0) | (values >= self.num_tokens)
        if bad.any():
            row = int(bad.reshape(len(bad), -1).any(axis=1).argmax())
            raise BadRow(row, f"category {values[bad][0]} is outside 0..{self.num_tokens - 1}")

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        return self.batch(field, learned, target=target)(torch.from_numpy(np.ascontiguousarray(values))).numpy()

    def batch(self, field: Field, learned: Learned, *, target: bool) -> nn.Module:
        return CategoryEncodingModule(self, torch.float32)
