"""Base classes of merging layers, and checks of the number and shapes of their inputs, which broadcast as in Keras."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import ClassVar

from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, MergeLayer, ShapeMismatch


class ElementwiseMerge(MergeLayer):
    """Base class of elementwise merging layers; inputs of lower rank get axes of size 1 after the batch axis."""

    mask = "pass"
    examples = (
        Example(input=[(4,), (4,)], output=(4,)),
        Example(input=[(5, 4), (4,)], output=(5, 4)),
    )
    exactly: ClassVar[int | None] = None
    """Required number of inputs of the layer; None: two or more."""
    module: ClassVar[type["MergeModule"]]

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        check_count(xs, self.exactly)
        check_shapes(xs)
        return self.module()


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


class MergeModule(nn.Module):
    def forward(self, *xs: Tensor) -> Tensor:  # each (N, *) -> (N, *)
        return self.merge(of_one_rank(xs))

    @abstractmethod
    def merge(self, xs: list[Tensor]) -> Tensor:
        """Merge the tensors of all inputs, which have equal rank, to one tensor; implemented by each merging layer."""


def of_one_rank(xs: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors with equal rank, the largest of all: the others get axes of size 1 after the batch axis."""
    rank = max(x.ndim for x in xs)
    return [x[(slice(None), *[None] * (rank - x.ndim))] for x in xs]


class PairwiseModule(MergeModule):
    """Base class of modules that merge several inputs, two at a time."""

    def merge(self, xs: list[Tensor]) -> Tensor:
        return reduce(self.pair, xs)

    @abstractmethod
    def pair(self, a: Tensor, b: Tensor) -> Tensor: ...
