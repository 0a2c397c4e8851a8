"""Multiply: the product of the inputs."""

from collections.abc import Sequence

from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.masked import Mask, MaskedMerge, MaskedMergeModule, product_of_seen


class MultiplyModule(MaskedMergeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def merge_seen(self, xs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        return product_of_seen(xs, masks)


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Multiply(MaskedMerge):
    """Multiplies its inputs, value by value; masked steps take no part."""

    module = MultiplyModule
