"""Sums over processes that torch does not provide: in a fixed order, and FSDP's reduce-scatter of gradients on CPUs.

A sum in a fixed order has the same bits on any number of processes. Each process adds a part of the vector and sends
the sum: no more bytes than a sum in any order. gloo's own reduce_scatter adds all parts on every process, which sends
twice as many bytes as `ReduceScatter` does.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def sum_in_order(vector: Tensor, rank: int, size: int) -> None:
    """Replace a vector, in place, by its sum over `size` processes, added as a balanced binary tree over the ranks.

    `size` is a power of two. The bits do not depend on it: where one process of n has the sum of two vectors, two of 2n
    processes, of neighbouring ranks, may have one of them each. Processes exchange parts in pairs, and keep at most as
    many parts as the tree has levels. Raises RuntimeError, as torch does.
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
    peers = [(rank + distance) % size for distance in range(1, size)]  # in different orders: none has to serve all
    received = [dist.P2POp(dist.irecv, as_bytes(parts[other]), other) for other in peers]
    _run([*received, *(dist.P2POp(dist.isend, as_bytes(parts[rank]), other) for other in peers)])


def _run(operations: Sequence[dist.P2POp]) -> None:
    there = [each for each in operations if each.tensor.numel()]
    for work in dist.batch_isend_irecv(there) if there else ():
        work.wait()


class ReduceScatter:
    """Reduce-scatter for FSDP on CPUs: adds gradients over the processes, and returns the part of this process.

    The class has the interface of FSDP's class of that name. Each process sends to every other process the part that
    the receiver keeps. Received parts are added in the order of ranks, so that the sum does not depend on which one
    arrives first.
    """

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return uninitialized memory for the input or output of a reduce-scatter."""
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, op: Any, async_op: bool = False
    ) -> None:
        """Write the sum over processes of this process's part of the inputs to the output; the input is overwritten.

        Inputs are vectors of equal length, a multiple of the number of processes. Raises RuntimeError, as gloo does.
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
            total = torch.add(total, terms[number], out=output_tensor if terms[number] is output_tensor else total)


def as_bytes(tensor: Tensor) -> Tensor:
    """Return a contiguous tensor's memory as uint8 values (bytes,), the form in which all dtypes are sent."""
    return tensor.view(-1).view(torch.uint8)
