"""Sums of gradients of which each process keeps a part, for FSDP on CPUs.

gloo's own function adds all parts everywhere, which sends twice as many bytes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


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
            for work in (group.recv([_bytes(free)], source, 0), group.send([_bytes(parts[to])], to, 0)):
                work.wait()
            terms[source], free = free, parts[to]
        total = terms[0]
        for number in range(1, size):
            is_output = terms[number] is output_tensor
            total = torch.add(total, terms[number], out=output_tensor if is_output else total)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.view(torch.uint8)
