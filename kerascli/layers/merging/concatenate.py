"""Concatenate: joins the inputs along an axis."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import Axis, TensorSpec, is_compatible
from kerascli.layers.base import Example, MergeLayer, ShapeMismatch, layer
from kerascli.layers.geometry import positive_axes
from kerascli.layers.merging.elementwise import check_count
from kerascli.preprocessing.function import Function


@layer(Example(input=[(4,), (3,)], output=(7,)))
class Concatenate(MergeLayer):
    """Concatenates its inputs along an axis; their other axes must be equal.

    Inputs: (N, *) each. Output: (N, *), with the sum of the sizes along `axis`.
    """

    mask = "pass"

    axis: Axis = -1

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_count(xs)
        if any(x.batched and not x.shape for x in xs):
            raise self._mismatch(xs, hint="one number per row is no vector; reshape: [1] after its layer makes one")
        (axis,) = positive_axes(self.axis, xs[0])
        for x in xs:
            others, first = (one.shape[: axis - 1] + one.shape[axis:] for one in (x, xs[0]))
            if x.rank != xs[0].rank or not is_compatible(others, first):
                raise self._mismatch(xs)
        return Function(lambda *xs: torch.cat(xs, axis))

    def _mismatch(self, xs: Sequence[TensorSpec], hint: str | None = None) -> ShapeMismatch:
        shapes = " and ".join(map(str, xs))
        return ShapeMismatch(f"needs inputs that differ in axis {self.axis} alone, got {shapes}", hint=hint)

    def merge_masks(self, masks: Sequence[Tensor | None], xs: Sequence[Tensor]) -> Tensor | None:
        """Concatenate the masks of inputs joined along their steps; an input without a mask is wholly unmasked."""
        present = [mask for mask in masks if mask is not None]
        if not present:
            return None
        rank = present[0].ndim
        whole = [torch.ones(x.shape[:rank], dtype=torch.bool, device=x.device) for x in xs]
        filled = [full if mask is None else mask for mask, full in zip(masks, whole, strict=True)]
        axis = self.axis % xs[0].ndim
        return torch.cat(filled, axis) if axis < rank else reduce(torch.logical_or, filled)
