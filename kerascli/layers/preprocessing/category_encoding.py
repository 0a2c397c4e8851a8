"""CategoryEncoding: a layer that encodes category ids as one-hot, multi-hot or count vectors."""

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import CallArgument, Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.categories import CategoryEncodingSettings, Encoded


@layer(
    Example(input=(3,), output=(10,), config={"num_tokens": 10}, dtype="int64"),
    Example(input=(3,), output=(3, 10), config={"num_tokens": 10, "output_mode": "one_hot"}, dtype="int64"),
    Example(input=(4, 3), output=(4, 10), config={"num_tokens": 10, "output_mode": "count"}, dtype="int64"),
)
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
