"""Add, Average, Maximum, Minimum, Multiply, Subtract: inputs merged value by value."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.base import ElementwiseMerge, MergeModule, PairwiseModule
from kerascli.layers.merging.masked import Mask, MaskedMerge, MaskedMergeModule, product_of_seen


class AddModule(PairwiseModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,), (1, 4)], output=(5, 4)),
)
class Add(ElementwiseMerge):
    """Adds its inputs, value by value."""

    module = AddModule


class AverageModule(MergeModule):
    def merge(self, xs: list[Tensor]) -> Tensor:
        return reduce(torch.add, xs) / len(xs)


@layer(
    Example(input=[(4,), (4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Average(ElementwiseMerge):
    """The mean of its inputs, value by value."""

    module = AverageModule


class MaximumModule(MaskedMergeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)


@layer()
class Maximum(MaskedMerge):
    """The largest of its inputs, value by value; masked steps take no part."""

    module = MaximumModule


class MinimumModule(MaskedMergeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.minimum(a, b)


@layer()
class Minimum(MaskedMerge):
    """The smallest of its inputs, value by value; masked steps take no part."""

    module = MinimumModule


class MultiplyModule(MaskedMergeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def merge_seen(self, xs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        return product_of_seen(xs, masks)


@layer()
class Multiply(MaskedMerge):
    """Multiplies its inputs, value by value; masked steps take no part."""

    module = MultiplyModule


class SubtractModule(PairwiseModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b


@layer()
class Subtract(ElementwiseMerge):
    """The first of two inputs less the second, value by value."""

    exactly = 2
    module = SubtractModule
