"""Sums over processes that torch does not make: one in a fixed order, and gradients of which each process keeps a part.

Sums in a fixed order have bits that do not depend on the number of processes. Each process adds a part of the vector
and sends the sum: no more bytes than a sum in any order. gloo's own reduce_scatter adds all parts everywhere, which
sends twice as many as that for FSDP on CPUs.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def sum_in_order(vector: Tensor, rank: int, size: int) -> None:
    """Replace a vector, in place, by its sum over `size` processes, a power of two, as a balanced tree over the ranks.

    It has the bits of the sum of twice as many processes' halves. Two processes exchange parts at a time, and no more
    of them are kept than the tree has levels. Raises RuntimeError, as torch does.
    """
    bounds = [vector.numel() * number // size for number in range(size + 1)]
    parts = [vector[start:stop] for start, stop in pairwise(bounds)]
    sums = [parts[rank]]
    for number in range(1, size):
        other, term = rank ^ number, torch.empty_like(parts[rank])
        _run([dist.P2POp(dist.irecv, as_bytes(term), other), dist.P2POp(dist.isend, as_bytes(parts[other]), other)])
        sums.append(term)
        while len(sums) > (number + 1).bit_count():  # terms so far, as a binary number: its ones are complete subtrees
            right = sums.pop()
            sums[-1].add_(right)
    others = [(rank + distance) % size for distance in range(1, size)]  # in different orders: none has to serve all
    received = [dist.P2POp(dist.irecv, as_bytes(parts[other]), other) for other in others]
    _run([*received, *(dist.P2POp(dist.isend, as_bytes(parts[rank]), other) for other in others)])


def _run(operations: Sequence[dist.P2POp]) -> None:
    there = [each for each in operations if each.tensor.numel()]
    for work in dist.batch_isend_irecv(there) if there else ():
        work.wait()


class ReduceScatter:
    """Adds gradients over the processes, and keeps the part of this one; FSDP's interface of that name.

    Each process sends to every other one the part that the other keeps. What it receives is added in the order of
    ranks, so that the sum does not depend on who was first.
    """

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return the memory for a function's input or output."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, op: Any, async_op: bool = False
    ) -> None:
        """Write the sum of this process's parts of all inputs to the output; the input is overwritten.

        Inputs are vectors of equal length, a multiple of the number of processes. Raises what gloo raises.
        """
        assert op == dist.ReduceOp.SUM
        size, rank = group.size(), group.rank()
        parts = input_tensor.chunk(size)
        terms, free = {rank: parts[rank]}, output_tensor
        for distance in range(1, size):  # a part that was sent makes room for the next one to receive
            to, source = (rank + distance) % size, (rank - distance) % size
            for work in (group.recv([as_bytes(free)], source, 0), group.send([as_bytes(parts[to])], to, 0)):
                work.wait()
            terms[source], free = free, parts[to]
        total = terms[0]
        for number in range(1, size):
            is_output = terms[number] is output_tensor
            total = torch.add(total, terms[number], out=output_tensor if is_output else total)


def as_bytes(tensor: Tensor) -> Tensor:
    """Return the bytes of a contiguous tensor, as which values of all dtypes are sent."""
    return tensor.view(-1).view(torch.uint8)
