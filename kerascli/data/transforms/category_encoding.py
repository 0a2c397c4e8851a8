"""Transform `category_encoding`: integers to vectors, per batch on the device or, for ragged sequences, in advance."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Refusal, Transform, transform
from kerascli.data.storage.tokens import Tokens
from kerascli.data.transforms.input_checks import need_integers, tally
from kerascli.foundation.disk.files import memory_limit
from kerascli.preprocessing.categories import CategoryEncodingSettings, Encoded, encoded_shape


@transform()
class CategoryEncoding(CategoryEncodingSettings, Transform):
    """Encodes integer categories as vectors: integers (*, S) in 0..num_tokens-1 to (*, num_tokens).

    In mode one_hot (*,) or (*, 1) becomes (*, num_tokens). As keras.layers.CategoryEncoding.
    """

    per_batch = "always"
    takes_sequences = True

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if not field.is_ragged:
            need_integers(field)
        elif self.output_mode == "one_hot":
            raise ValueError("output_mode one_hot needs rows of one length, got sequences of different lengths")
        shape = encoded_shape(field.shape, self.output_mode, self.num_tokens)
        dtype = "uint8" if field.is_ragged and self.output_mode == "multi_hot" else "float32"
        return replace(field, shape=shape, dtype=dtype, num_classes=self.num_tokens)

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        x, limit = x.long(), self.num_tokens
        yield Refusal((x < 0) | (x >= limit), lambda value: f"category {value} is outside 0..{limit - 1}")

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Encoded(self.output_mode, self.num_tokens, torch.float32)

    def sequences(self, tokens: Tokens, field: Field, state: FittedState) -> Tensor:
        _refuse_too_large(len(tokens) * self.num_tokens)
        return tally(tokens, self.output_mode, self.num_tokens)


def _refuse_too_large(cells: int) -> None:
    if cells > memory_limit() // 4:
        hint = "use fewer tokens (num_words), or add pad_sequences before this"
        raise ValueError(f"vectors of {cells:,} numbers in all do not fit in memory; {hint}")
