"""Base classes of merging layers that ignore masked steps: at each time step only unmasked inputs are merged."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from kerascli.layers.base import CallArgument
from kerascli.layers.geometry import broadcast_mask
from kerascli.layers.merging.base import ElementwiseMerge, PairwiseModule, of_one_rank

Mask = Tensor | None


class MaskedMerge(ElementwiseMerge):
    """Base class of layers that merge their inputs elementwise and ignore masked steps."""

    uses_masks = True
    call_arguments = {  # noqa: RUF012
        "mask": CallArgument("bool", "false: do not ignore masked steps"),
    }


class MaskedMergeModule(PairwiseModule):
    def forward(self, *xs: Tensor, masks: Sequence[Mask] = ()) -> Tensor:  # each (N, *) -> (N, *)
        rank = max(x.ndim for x in xs)
        seen = [mask if x.ndim == rank else None for x, mask in zip(xs, masks, strict=False)]
        same = of_one_rank(xs)
        if all(mask is None for mask in seen):
            return self.merge(same)
        return self.merge_seen(same, [None if mask is None else broadcast_mask(mask, xs[0]) for mask in seen])

    def merge_seen(self, xs: list[Tensor], masks: Sequence[Mask]) -> Tensor:
        """Merge tensors one after the other, as Keras does: where one of two is masked, the other replaces it."""
        (y, *others), (seen, *further) = xs, masks
        for x, mask in zip(others, further, strict=True):
            x = x if mask is None else torch.where(mask, x, y)
            y = y if seen is None else torch.where(seen, y, x)
            seen = None if mask is None or seen is None else seen | mask
            y = self.pair(y, x)
        return y


def product_of_seen(xs: Sequence[Tensor], masks: Sequence[Mask]) -> Tensor:
    """Return the elementwise product of unmasked values; 0 where all are masked, if every input has a mask."""
    kept = [x if mask is None else torch.where(mask, x, 1) for x, mask in zip(xs, masks, strict=True)]
    y = reduce(torch.mul, kept)
    present = [mask for mask in masks if mask is not None]
    return torch.where(reduce(torch.logical_or, present), y, 0) if len(present) == len(masks) else y
