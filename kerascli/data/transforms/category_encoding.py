"""Transform `category_encoding`: integers to vectors, per batch on the device or, for ragged sequences, in advance."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.table import BadRow
from kerascli.data.storage.tokens import Tokens
from kerascli.data.transforms.input_checks import need_integers
from kerascli.foundation.disk.files import memory_limit
from kerascli.preprocessing.categories import CategoryEncodingModule, CategoryEncodingSettings, encoded_shape, tally


@transform()
class CategoryEncoding(CategoryEncodingSettings, Transform):
    """Encodes integer categories as vectors: integers (*, S) in 0..num_tokens-1 to (*, num_tokens).

    In mode one_hot (*,) or (*, 1) becomes (*, num_tokens). As keras.layers.CategoryEncoding.
    """

    needs_rows = True
    takes_sequences = True

    def in_batch(self, field: Field) -> bool:
        return not field.is_ragged

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        if not field.is_ragged:
            need_integers(field)
        elif self.output_mode == "one_hot":
            raise ValueError("output_mode one_hot needs rows of one length, got sequences of different lengths")
        shape = encoded_shape(field.shape, self.output_mode, self.num_tokens)
        dtype = "uint8" if field.is_ragged and self.output_mode == "multi_hot" else "float32"
        return replace(field, shape=shape, dtype=dtype, num_classes=self.num_tokens)

    def check(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> None:
        tokens = Tokens.of(values)
        bad = (tokens.values < 0) | (tokens.values >= self.num_tokens)
        if bad.any():
            first = int(bad.argmax())
            text = f"category {tokens.values[first]} is outside 0..{self.num_tokens - 1}"
            raise BadRow(int(tokens.owners()[first]), text)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        if field.is_ragged:
            tokens = Tokens.of(values)
            _refuse_too_large(len(values) * self.num_tokens)
            return tally(tokens.values, tokens.owners(), len(values), self.output_mode, self.num_tokens)
        return super().apply(values, field, learned, target=target)

    def batch(self, field: Field, learned: FittedState, *, target: bool) -> nn.Module:
        return CategoryEncodingModule(self, torch.float32)


def _refuse_too_large(cells: int) -> None:
    if cells > memory_limit() // 4:
        hint = "use fewer tokens (num_words), or add pad_sequences before this"
        raise ValueError(f"vectors of {cells:,} numbers in all do not fit in memory; {hint}")
