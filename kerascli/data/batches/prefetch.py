"""Compute the results of a function ahead of their use, with threads and in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")


def prefetch(make: Callable[[P], R], parts: Iterable[P], *, threads: int, depth: int) -> Iterator[R]:
    """Yield the results of `make` for each of `parts`, in order, while threads compute the next `depth` of them.

    Exceptions of `make` are raised at the position of their result. The threads end with the last result, or when the
    iterator is closed.
    """
    waiting = iter(parts)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        pending = deque(pool.submit(make, part) for part in islice(waiting, depth))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(make, part) for part in islice(waiting, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
