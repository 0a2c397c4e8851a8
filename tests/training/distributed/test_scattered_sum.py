"""Sums of vectors over processes of which each gets a part. The sum over a balanced tree, made here, is the oracle."""

import pytest
import torch
from torch import Tensor

from kerascli.training.distributed.scattered_sum import even_bounds, fill_parts, scatter_sum
from tests.support.processes import called_on


def own_values(rank: int, size: int, dtype: torch.dtype) -> Tensor:
    """Return a process's vector; of three, whose sums have no fixed order, it has integers, whose sums are exact."""
    values = 4 * torch.randn(23, generator=torch.Generator().manual_seed(rank))
    return (values.round() if size == 3 else values).to(dtype)


def tree_sum(terms: list[Tensor]) -> Tensor:
    middle = len(terms) // 2
    return terms[0] if middle == 0 else tree_sum(terms[:middle]) + tree_sum(terms[middle:])


CASES = {
    3: [([0, 5, 19, 23], torch.float64), ([0, 7, 15, 23], torch.bfloat16), ([0, 0, 23, 23], torch.float32)],
    4: [([0, 2, 2, 16, 23], torch.float32), ([0, 5, 11, 17, 23], torch.float16)],
}
"""Bounds of the parts, some of which are empty, by the number of processes."""


def scattered(rank: int, size: int) -> list[tuple[list[float], list[float]]]:
    """Return, for each case, this process's part of the sum, and all parts, which the processes give to each other."""
    found = []
    for bounds, dtype in CASES[size]:
        vector = own_values(rank, size, dtype)
        scatter_sum(vector, bounds, rank)
        own = vector[bounds[rank] : bounds[rank + 1]].tolist()
        fill_parts(vector, bounds, rank)
        found.append((own, vector.tolist()))
    return found


@pytest.mark.parametrize("size", CASES)
def test_each_process_gets_its_part_of_the_sum_and_then_all_parts(size: int) -> None:
    for rank, found in enumerate(called_on(size, scattered, size)):
        for (bounds, dtype), (own, everything) in zip(CASES[size], found, strict=True):
            whole = tree_sum([own_values(each, size, dtype) for each in range(size)]).tolist()
            assert own == whole[bounds[rank] : bounds[rank + 1]]
            assert everything == whole


def test_even_parts_cover_a_vector_and_may_be_empty() -> None:
    assert even_bounds(10, 4) == [0, 2, 5, 7, 10]
    assert even_bounds(2, 4) == [0, 0, 1, 1, 2]
