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

    Part `r` has the elements from `bounds[r]` to `bounds[r + 1]`. If the number of processes is a power of two, the sum
    is a balanced binary tree over the ranks: it has the bits of the sum of twice as many processes' halves. Two
    processes exchange parts at a time, and no more of them are kept than the tree has levels. Raises RuntimeError, as
    torch does.
    """
    size = len(bounds) - 1
    sums = [_part(vector, bounds, rank)]
    for number in range(1, size):
        to, source = _partners(rank, number, size)
        term = torch.empty_like(sums[0])
        _run(
            [
                dist.P2POp(dist.irecv, _bytes(term), source),
                dist.P2POp(dist.isend, _bytes(_part(vector, bounds, to)), to),
            ]
        )
        sums.append(term)
        while len(sums) > (number + 1).bit_count():  # terms so far, as a binary number: its ones are complete subtrees
            right = sums.pop()
            sums[-1].add_(right)
    for term in sums[1:]:
        sums[0].add_(term)


def _partners(rank: int, number: int, size: int) -> tuple[int, int]:
    """Return the ranks to which a process sends, and from which it receives, in exchange `number`."""
    if size.bit_count() == 1:
        return rank ^ number, rank ^ number
    return (rank + number) % size, (rank - number) % size


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


def _part(vector: Tensor, bounds: Sequence[int], rank: int) -> Tensor:
    return vector[bounds[rank] : bounds[rank + 1]]


def _bytes(part: Tensor) -> Tensor:
    return part.view(torch.uint8)
