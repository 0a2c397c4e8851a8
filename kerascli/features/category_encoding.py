"""Category encoding: integer categories to vectors, as a transform and as a layer."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Refusal, Transform, transform
from kerascli.data.storage.tokens import Tokens
from kerascli.data.transforms.input_checks import need_integers, tally
from kerascli.foundation.disk.files import memory_limit
from kerascli.foundation.shapes import PositiveInt, TensorSpec
from kerascli.language.component import Component
from kerascli.layers.base import CallArgument, Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.categories import ENCODED, Dense, Encoded, encoded_shape


class CategoryEncodingSettings(Component):
    """Settings that the layer and the transform `category_encoding` share."""

    num_tokens: PositiveInt
    """Number of categories; ids are 0 to num_tokens - 1."""
    output_mode: Annotated[Literal["one_hot", "multi_hot", "count"], ENCODED] = "multi_hot"
    sparse: Dense = False


@transform(name="category_encoding")
class CategoryEncodingTransform(CategoryEncodingSettings, Transform):
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
        if (cells := len(tokens) * self.num_tokens) > memory_limit() // 4:
            hint = "use fewer tokens (num_words), or add pad_sequences before this"
            raise ValueError(f"vectors of {cells:,} numbers in all do not fit in memory; {hint}")
        return tally(tokens, self.output_mode, self.num_tokens)


@layer(Example(input=(3,), output=(10,), config={"num_tokens": 10}, dtype="int64"))
class CategoryEncoding(CategoryEncodingSettings, Layer):
    """Encodes category ids as one-hot, multi-hot or count vectors; ids outside of 0 to num_tokens - 1 are dropped.

    Input: integers (N, *). Output: (N, *, num_tokens) for one_hot; for multi_hot and count the last axis holds the ids
    of one sample and becomes num_tokens.
    """

    takes_integers = True
    call_arguments: ClassVar[Mapping[str, CallArgument]] = {
        "count_weights": CallArgument(
            "tensor", "weights of the ids, a tensor shaped like the input, in output_mode count"
        )
    }

    def build(self, x: TensorSpec) -> nn.Module:
        if not x.is_integer:
            raise ShapeMismatch(f"needs integers, got {x.dtype}", hint="discretization makes bins of numbers")
        return Encoded(self.output_mode, self.num_tokens)
