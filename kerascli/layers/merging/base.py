"""What the merging layers share: shapes that broadcast, as in Keras."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from kerascli.layers.base import MergeLayer, ShapeMismatch
from kerascli.layers.geometry import broadcast_mask
from kerascli.shapes import TensorSpec


class ElementwiseMerge(MergeLayer):
    """Settings of a merge value by value; inputs of fewer axes get axes of 1 after the batch."""

    mask = "pass"
    exactly: ClassVar[int | None] = None
    """How many inputs it takes; None: two or more."""
    module: ClassVar[type["MergeModule"]]

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_count(xs, self.exactly)
        rank = max(x.rank for x in xs)
        padded = [(1,) * (rank - x.rank) + x.shape for x in xs]
        for sizes in zip(*padded, strict=True):
            if len({size for size in sizes if size not in (None, 1)}) > 1:
                raise ShapeMismatch(f"needs inputs of one shape, got {' and '.join(map(str, xs))}")
        return self.module()


def check_count(xs: tuple[TensorSpec, ...], exactly: int | None = None) -> None:
    """Raise ShapeMismatch unless there are enough inputs."""
    if len(xs) != exactly if exactly else len(xs) < 2:
        raise ShapeMismatch(f"needs {exactly or 'at least 2'} inputs, got {len(xs)}", hint="write inputs: [a, b]")


class MergeModule(nn.Module):
    def forward(self, *xs: Tensor) -> Tensor:  # each (N, *) -> (N, *)
        rank = max(x.ndim for x in xs)
        return self.merge([x[(slice(None), *[None] * (rank - x.ndim))] for x in xs])

    @abstractmethod
    def merge(self, xs: list[Tensor]) -> Tensor:
        """The merged values of tensors of equal rank."""


class PairwiseModule(MergeModule):
    """Merges two at a time."""

    def merge(self, xs: list[Tensor]) -> Tensor:
        return reduce(self.pair, xs)

    @abstractmethod
    def pair(self, a: Tensor, b: Tensor) -> Tensor: ...


class MaskedModule(MergeModule):
    """Merges two at a time, where steps that a mask hides leave the value of the other input as it is."""

    def forward(self, *xs: Tensor, masks: Sequence[Tensor | None] | None = None) -> Tensor:  # each (N, *) -> (N, *)
        if masks is None or all(mask is None for mask in masks):
            return super().forward(*xs)
        rank = max(x.ndim for x in xs)
        wide = [  # as in Keras an input that gets further axes loses its mask
            None if mask is None or x.ndim < rank else broadcast_mask(mask, x)
            for mask, x in zip(masks, xs, strict=True)
        ]
        return self.merge_masked([x[(slice(None), *[None] * (rank - x.ndim))] for x in xs], wide)

    def merge(self, xs: list[Tensor]) -> Tensor:
        return reduce(self.pair, xs)

    @abstractmethod
    def pair(self, a: Tensor, b: Tensor) -> Tensor: ...

    @abstractmethod
    def merge_masked(self, xs: list[Tensor], masks: list[Tensor | None]) -> Tensor:
        """The merged values of tensors of equal rank, with masks of that rank."""


class ExtremeModule(MaskedModule):
    """The largest or smallest values: a hidden step takes those of the inputs before it, or of the next one."""

    def merge_masked(self, xs: list[Tensor], masks: list[Tensor | None]) -> Tensor:
        output, seen = xs[0], masks[0]
        for x, mask in zip(xs[1:], masks[1:], strict=True):
            if mask is not None:
                x = torch.where(mask, x, output)
            if seen is not None:
                output = torch.where(seen, output, x)
            seen = None if mask is None or seen is None else seen | mask
            output = self.pair(output, x)
        return output
