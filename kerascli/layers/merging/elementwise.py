"""Add, Average, Maximum, Minimum, Multiply, Subtract and CustomScaleLayer: inputs merged elementwise."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import CallArgument, Example, MergeLayer, ShapeMismatch, layer
from kerascli.layers.geometry import broadcast_mask
from kerascli.preprocessing.function import Function


class ElementwiseMerge(MergeLayer):
    """Base class of elementwise merging layers; inputs of lower rank get axes of size 1 after the batch axis."""

    mask = "pass"
    examples = (Example(input=[(4,), (4,)], output=(4,)),)
    exactly: ClassVar[int | None] = None
    """Required number of inputs of the layer; None: two or more."""
    pair: ClassVar[Callable[[Tensor, Tensor], Tensor]]
    """Function that merges two tensors elementwise."""

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_count(xs, self.exactly)
        check_shapes(xs)
        return Function(self.merged)

    def merged(self, *xs: Tensor) -> Tensor:  # each (N, *) -> (N, *)
        """Merge tensors elementwise, two at a time."""
        return reduce(type(self).pair, of_one_rank(xs))


def check_count(xs: tuple[TensorSpec, ...], exactly: int | None = None) -> None:
    """Raise ShapeMismatch unless the number of inputs is `exactly`, or at least 2 if `exactly` is None."""
    if len(xs) != exactly if exactly else len(xs) < 2:
        raise ShapeMismatch(f"needs {exactly or 'at least 2'} inputs, got {len(xs)}", hint="write inputs: [a, b]")


def check_shapes(xs: tuple[TensorSpec, ...]) -> None:
    """Raise ShapeMismatch unless the shapes of the inputs can be broadcast to one shape."""
    rank = max(x.rank for x in xs)
    padded = [(1,) * (rank - x.rank) + x.shape for x in xs]
    for sizes in zip(*padded, strict=True):
        if len({size for size in sizes if size not in (None, 1)}) > 1:
            raise ShapeMismatch(f"needs inputs of one shape, got {' and '.join(map(str, xs))}")


def of_one_rank(xs: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors with equal rank, the largest of all: the others get axes of size 1 after the batch axis."""
    rank = max(x.ndim for x in xs)
    return [x[(slice(None), *[None] * (rank - x.ndim))] for x in xs]


Mask = Tensor | None


class MaskedMerge(ElementwiseMerge):
    """Base class of layers that merge their inputs elementwise and ignore masked steps."""

    uses_masks = True
    call_arguments = {"mask": CallArgument("bool", "false: do not ignore masked steps")}  # noqa: RUF012

    def merged(self, *xs: Tensor, masks: Sequence[Mask] = ()) -> Tensor:  # each (N, *) -> (N, *)
        """Merge the unmasked steps of tensors elementwise."""
        rank = max(x.ndim for x in xs)
        seen = [mask if x.ndim == rank else None for x, mask in zip(xs, masks, strict=False)]
        if all(mask is None for mask in seen):
            return super().merged(*xs)
        masks = [None if mask is None else broadcast_mask(mask, xs[0]) for mask in seen]
        return self.merge_seen(of_one_rank(xs), masks)

    def merge_seen(self, xs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        """Merge tensors one after the other, as Keras does: where one of two is masked, the other replaces it."""
        (y, *rest), (seen, *later) = xs, masks
        for x, mask in zip(rest, later, strict=True):
            x = x if mask is None else torch.where(mask, x, y)
            y = y if seen is None else torch.where(seen, y, x)
            seen = None if mask is None or seen is None else seen | mask
            y = type(self).pair(y, x)
        return y


@layer()
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
