"""Multiply: the product of the inputs."""

from functools import reduce

import torch
from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.base import ElementwiseMerge, MaskedModule


class MultiplyModule(MaskedModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def merge_masked(self, xs: list[Tensor], masks: list[Tensor | None]) -> Tensor:
        known = [mask for mask in masks if mask is not None]
        seen = [x if mask is None else x.masked_fill(~mask, 1) for x, mask in zip(xs, masks, strict=True)]
        product = self.merge(seen)
        if len(known) < len(masks):
            return product
        return product.masked_fill(~reduce(torch.logical_or, known), 0)


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Multiply(ElementwiseMerge):
    """Multiplies its inputs, value by value.

    Steps that a mask hides count as 1; those that are hidden in all inputs become 0.
    """

    uses_masks = True

    module = MultiplyModule
