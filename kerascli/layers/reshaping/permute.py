"""Permute: reorders the axes of a sample."""

from typing import Annotated

from pydantic import AfterValidator
from torch import Tensor, nn

from kerascli.foundation.shapes import Sizes, TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.function import Function


def _check_dims(dims: tuple[int, ...]) -> tuple[int, ...]:
    if sorted(dims) != list(range(1, len(dims) + 1)):
        raise ValueError(f"expected each axis from 1 to {len(dims)} once, got {list(dims)}")
    return dims


@layer(
    Example(input=(5, 3), output=(3, 5), config={"dims": [2, 1]}),
    Example(input=(2, 3, 4), output=(4, 2, 3), config={"dims": [3, 1, 2]}),
)
class Permute(Layer):
    """Permutes the axes after the batch: axis i of the output is axis `dims[i]` of the input, counted from 1.

    Input: (N, *). Output: (N, *), with the axes in the order `dims`.
    """

    takes_integers = True
    moves_values = True

    dims: Annotated[Sizes, AfterValidator(_check_dims)]
    """Input axes in the output's order, counted from 1: [2, 1] swaps two axes."""

    def build(self, x: TensorSpec) -> nn.Module:
        if x.rank != len(self.dims):
            text = f"has dims for {len(self.dims)} axes after the batch, got {x}"
            raise ShapeMismatch(text, argument="dims")
        return Function(Tensor.permute, 0, *self.dims)
