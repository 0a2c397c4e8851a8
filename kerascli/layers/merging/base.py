"""Base classes of merging layers, whose inputs broadcast as in Keras; some ignore the masked steps of their inputs."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import CallArgument, Example, MergeLayer, ShapeMismatch
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
    call_arguments = {  # noqa: RUF012
        "mask": CallArgument("bool", "false: do not ignore masked steps"),
    }

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
