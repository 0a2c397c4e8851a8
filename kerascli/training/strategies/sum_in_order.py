"""Sum of a vector over processes in a fixed order, such that its bits do not depend on their number.

Each process adds a part of the vector and sends the sum: that sends no more than a sum in any order.
"""

from collections.abc import Sequence
from itertools import pairwise

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
        _run([dist.P2POp(dist.irecv, _bytes(term), other), dist.P2POp(dist.isend, _bytes(parts[other]), other)])
        sums.append(term)
        while len(sums) > (number + 1).bit_count():  # terms so far, as a binary number: its ones are complete subtrees
            right = sums.pop()
            sums[-1].add_(right)
    others = [(rank + distance) % size for distance in range(1, size)]  # in different orders: none has to serve all
    received = [dist.P2POp(dist.irecv, _bytes(parts[other]), other) for other in others]
    _run([*received, *(dist.P2POp(dist.isend, _bytes(parts[rank]), other) for other in others)])


def _run(operations: Sequence[dist.P2POp]) -> None:
    there = [each for each in operations if each.tensor.numel()]
    for work in dist.batch_isend_irecv(there) if there else ():
        work.wait()


def _bytes(part: Tensor) -> Tensor:
    return part.view(torch.uint8)
