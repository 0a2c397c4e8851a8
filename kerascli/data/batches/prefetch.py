"""Work done ahead by threads, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")


def ahead(make: Callable[[P], R], parts: Iterable[P], *, threads: int, depth: int) -> Iterator[R]:
    """`map`, with the next `depth` results made by threads while one is in use.

    What `make` raises is raised here, in its turn. The threads end with the last result, or when this is closed.
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
