"""Groups of processes that are threads of this one."""

import threading
from collections.abc import Callable
from typing import Any

from torch import Tensor

from kerascli.foundation.world import World
from kerascli.training.strategies.group import Group


class ThreadGroup(Group):
    """Process of a group whose processes are threads; `shared` is the same list for all of them."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier, shared: list[Any]) -> None:
        super().__init__(World(rank, size, rank, size))
        self._barrier = barrier
        self._shared = shared

    def gather(self, tensor: Tensor) -> list[Tensor]:
        self._shared[self.world.rank] = tensor
        self._barrier.wait(10)
        tensors = list(self._shared)
        self._barrier.wait(10)
        return tensors


def on_threads(work: Callable[[Group], Any], size: int = 2) -> list[Any]:
    """Return what the processes of a group, here threads, return or raise."""
    barrier, shared = threading.Barrier(size), [None] * size
    results: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadGroup(rank, size, barrier, shared))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
