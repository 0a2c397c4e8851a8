"""Sums of gradients over processes, here threads, of which each keeps a part. gloo's sum of all parts is the oracle."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch import distributed as dist

from kerascli.training.strategies.reduce_scatter import ReduceScatter

SUM = dist.ReduceOp.SUM


def on_each(size: int, work: Callable[[Any], Any]) -> list[Any]:
    """Return what the processes of a gloo group, here threads, return or raise."""
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    found: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            group = dist.ProcessGroupGloo(store, rank, size, timedelta(seconds=5))  # pyright: ignore
            found[rank] = work(group)
        except Exception as error:
            found[rank] = error.with_traceback(None)  # such that the group ends

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


class Counted:
    """Process group that counts the bytes that it sends."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.group, name)

    def send(self, tensors: list[torch.Tensor], to: int, tag: int) -> Any:
        self.sent += sum(tensor.nbytes for tensor in tensors)
        return self.group.send(tensors, to, tag)


def own_values(rank: int, length: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(length, generator=torch.Generator().manual_seed(rank)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_each_process_keeps_its_part_of_the_sum_in_the_order_of_ranks(size: int, dtype: torch.dtype) -> None:
    length = 7 * size

    def work(group: Any) -> tuple[torch.Tensor, int]:
        counted, output = Counted(group), torch.empty(length // size, dtype=dtype)
        ReduceScatter()(output, own_values(group.rank(), length, dtype), counted, SUM)
        return output, counted.sent

    found = on_each(size, work)
    total = own_values(0, length, dtype)
    for rank in range(1, size):
        total += own_values(rank, length, dtype)
    assert torch.equal(torch.cat([output for output, _ in found]), total)
    assert {sent for _, sent in found} == {(size - 1) * length // size * dtype.itemsize}


def test_two_processes_get_the_bits_of_an_all_reduce() -> None:
    def work(group: Any) -> tuple[torch.Tensor, torch.Tensor]:
        values, output = own_values(group.rank(), 1000, torch.float32), torch.empty(500)
        wanted = values.clone()
        group.allreduce([wanted], dist.AllreduceOptions()).wait()  # pyright: ignore
        ReduceScatter()(output, values, group, SUM)
        return output, wanted.chunk(2)[group.rank()]

    for output, wanted in on_each(2, work):
        assert torch.equal(output, wanted)


def test_a_process_that_leaves_is_an_error_of_the_others() -> None:
    def work(group: Any) -> None:
        if group.rank() == 1:
            raise ConnectionAbortedError
        ReduceScatter()(torch.empty(2), torch.ones(6), group, SUM)

    first, _, third = on_each(3, work)
    for error in (first, third):
        assert isinstance(error, RuntimeError)
        assert "gloo" in str(error).lower()


def test_parts_without_elements_need_no_special_case() -> None:
    def work(group: Any) -> int:
        output = torch.empty(0)
        ReduceScatter()(output, torch.empty(0), group, SUM)
        return output.numel()

    assert on_each(2, work) == [0, 0]
