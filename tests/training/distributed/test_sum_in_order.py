"""The sum of vectors over processes in a fixed order. The sum over a balanced tree, made here, is the oracle."""

import pytest
import torch
from torch import Tensor

from kerascli.training.strategies.sum_in_order import sum_in_order
from tests.support.processes import called_on

CASES = [(23, torch.float32), (23, torch.float16), (3, torch.float64)]
"""Lengths of vectors, whose parts differ and may be empty, and dtypes."""


def own_values(rank: int, length: int, dtype: torch.dtype) -> Tensor:
    return (4 * torch.randn(length, generator=torch.Generator().manual_seed(rank))).to(dtype)


def tree_sum(terms: list[Tensor]) -> Tensor:
    middle = len(terms) // 2
    return terms[0] if middle == 0 else tree_sum(terms[:middle]) + tree_sum(terms[middle:])


def summed(rank: int, size: int) -> list[list[float]]:
    """Return the sum of each case."""
    vectors = [own_values(rank, *case) for case in CASES]
    for vector in vectors:
        sum_in_order(vector, rank, size)
    return [vector.tolist() for vector in vectors]


@pytest.mark.parametrize("size", [2, 4])
def test_each_process_gets_the_sum_over_a_balanced_tree(size: int) -> None:
    for found in called_on(size, summed, size):
        for case, values in zip(CASES, found, strict=True):
            assert values == tree_sum([own_values(each, *case) for each in range(size)]).tolist()
