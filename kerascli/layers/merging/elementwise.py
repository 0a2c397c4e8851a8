"""Add, Average, Maximum, Minimum, Multiply, Subtract: inputs merged elementwise."""

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
    """Adds its inputs elementwise.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    module = AddModule


class AverageModule(MergeModule):
    def merge(self, xs: list[Tensor]) -> Tensor:
        return reduce(torch.add, xs) / len(xs)


@layer(
    Example(input=[(4,), (4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Average(ElementwiseMerge):
    """Averages its inputs elementwise.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    module = AverageModule


class MaximumModule(MaskedMergeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.maximum(a, b)


@layer()
class Maximum(MaskedMerge):
    """Takes the maximum of its inputs elementwise; masked steps are ignored.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    module = MaximumModule


class MinimumModule(MaskedMergeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.minimum(a, b)


@layer()
class Minimum(MaskedMerge):
    """Takes the minimum of its inputs elementwise; masked steps are ignored.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    module = MinimumModule


class MultiplyModule(MaskedMergeModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def merge_seen(self, xs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        return product_of_seen(xs, masks)


@layer()
class Multiply(MaskedMerge):
    """Multiplies its inputs elementwise; masked steps are ignored.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    module = MultiplyModule


class SubtractModule(PairwiseModule):
    def pair(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b


@layer()
class Subtract(ElementwiseMerge):
    """Subtracts the second of two inputs from the first, elementwise.

    Inputs: two (N, *), which broadcast. Output: (N, *).
    """

    exactly = 2
    module = SubtractModule
