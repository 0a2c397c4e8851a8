"""Add, Average, Maximum, Minimum, Multiply, Subtract: inputs merged elementwise."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from kerascli.layers.base import Example, layer
from kerascli.layers.merging.base import ElementwiseMerge, Mask, MaskedMerge


@layer(
    Example(input=[(4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,), (1, 4)], output=(5, 4)),
)
class Add(ElementwiseMerge):
    """Adds its inputs elementwise.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    pair = torch.add


@layer(
    Example(input=[(4,), (4,), (4,)], output=(4,)),
    Example(input=[(5, 4), (4,)], output=(5, 4)),
)
class Average(ElementwiseMerge):
    """Averages its inputs elementwise.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    pair = torch.add

    def merged(self, *xs: Tensor) -> Tensor:
        return super().merged(*xs) / len(xs)


@layer()
class Maximum(MaskedMerge):
    """Takes the maximum of its inputs elementwise; masked steps are ignored.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    pair = torch.maximum


@layer()
class Minimum(MaskedMerge):
    """Takes the minimum of its inputs elementwise; masked steps are ignored.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    pair = torch.minimum


@layer()
class Multiply(MaskedMerge):
    """Multiplies its inputs elementwise; masked steps are ignored.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    pair = torch.mul

    def merge_seen(self, xs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        """Return the elementwise product of unmasked values; 0 where all are masked, if every input has a mask."""
        kept = [x if mask is None else torch.where(mask, x, 1) for x, mask in zip(xs, masks, strict=True)]
        y = reduce(torch.mul, kept)
        present = [mask for mask in masks if mask is not None]
        return torch.where(reduce(torch.logical_or, present), y, 0) if len(present) == len(masks) else y


@layer()
class Subtract(ElementwiseMerge):
    """Subtracts the second of two inputs from the first, elementwise.

    Inputs: two (N, *), which broadcast. Output: (N, *).
    """

    exactly = 2
    pair = torch.sub
