"""Sums over processes of vectors of which each process gets a part, and parts that all processes get from each other.

Each process sends every other one what that one needs, and nothing else: a sum of which all get all of it takes both.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def even_bounds(length: int, size: int) -> list[int]:
    """Return the bounds of `size` parts of a vector, which differ by one element at most."""
    return [length * number // size for number in range(size + 1)]


def scatter_sum(vector: Tensor, bounds: Sequence[int], rank: int) -> None:
    """Replace process `rank`'s part of a vector by the sum of all processes' vectors there; other parts stay.

    Part `r` has the elements from `bounds[r]` to `bounds[r + 1]`. The sum is a balanced binary tree over the ranks, so
    that it has the same bits as the sum of twice as many processes' halves. Raises RuntimeError, as torch does.
    """
    own = _part(vector, bounds, rank)
    terms = [own if number == rank else torch.empty_like(own) for number in range(len(bounds) - 1)]
    received = [dist.P2POp(dist.irecv, _bytes(terms[other]), other) for other in _others(bounds, rank)]
    sent = [dist.P2POp(dist.isend, _bytes(_part(vector, bounds, other)), other) for other in _others(bounds, rank)]
    _run([*received, *sent])
    own.copy_(_tree_sum(terms))


def fill_parts(vector: Tensor, bounds: Sequence[int], rank: int) -> None:
    """Let a vector have the values of each process in that process's part. Raises RuntimeError, as torch does."""
    own = _bytes(_part(vector, bounds, rank))
    others = list(_others(bounds, rank))
    received = [dist.P2POp(dist.irecv, _bytes(_part(vector, bounds, other)), other) for other in others]
    _run([*received, *(dist.P2POp(dist.isend, own, other) for other in others)])


def _others(bounds: Sequence[int], rank: int) -> Iterator[int]:
    """Yield the ranks of the other processes, which all of them take in different orders: none has to serve all."""
    size = len(bounds) - 1
    for distance in range(1, size):
        yield (rank + distance) % size


def _run(operations: Sequence[dist.P2POp]) -> None:
    there = [each for each in operations if each.tensor.numel()]
    for work in dist.batch_isend_irecv(there) if there else ():
        work.wait()


def _tree_sum(terms: Sequence[Tensor]) -> Tensor:
    """Return the sum of the first half plus that of the second, in place of the first term."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return _tree_sum(terms[:middle]).add_(_tree_sum(terms[middle:]))


def _part(vector: Tensor, bounds: Sequence[int], rank: int) -> Tensor:
    return vector[bounds[rank] : bounds[rank + 1]]


def _bytes(part: Tensor) -> Tensor:
    return part.view(torch.uint8)
