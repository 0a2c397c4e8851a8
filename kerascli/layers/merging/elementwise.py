"""Add, Average, Maximum, Minimum, Multiply, Subtract and CustomScaleLayer: inputs merged elementwise."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, MergeLayer, ShapeMismatch, layer
from kerascli.layers.merging.base import ElementwiseMerge, Mask, MaskedMerge, check_count, check_shapes
from kerascli.preprocessing.function import Function


@layer(Example(input=[(4,), (4,)], output=(4,)))
class Add(ElementwiseMerge):
    """Adds its inputs elementwise.

    Inputs: two or more (N, *), which broadcast. Output: (N, *).
    """

    pair = torch.add


@layer(Example(input=[(4,), (4,), (4,)], output=(4,)))
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


@layer(Example(input=[(4, 4, 3), (4, 4, 3)], output=(4, 4, 3), config={"scale": 0.2}))
class CustomScaleLayer(MergeLayer):
    """Adds the second of two inputs, multiplied by `scale`, to the first: first + scale * second.

    Inputs: two of equal rank, (N, *). Output: (N, *). Keras keeps this layer in `keras.applications`, as a part of
    InceptionResNetV2 (Szegedy et al., 2016).
    """

    scale: float
    """Factor of the second input."""

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_count(xs, 2)
        check_shapes(xs)
        if xs[0].rank != xs[1].rank:
            raise ShapeMismatch(f"needs inputs with equal numbers of axes, got {xs[0]} and {xs[1]}")
        return Function(lambda a, b: a + b * self.scale)
