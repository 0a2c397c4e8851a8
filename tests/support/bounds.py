"""Bounds on work that hold on any machine: CPU time with a margin, and growth instead of seconds."""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def cpu_seconds(most: float = 30.0) -> Iterator[None]:
    """Assert that the block, with child processes that end in it, uses less CPU time.

    Beside other work, or while covered lines are counted, the same work takes a few times as long: a bound is for what
    would take minutes, not for what takes a second.
    """
    before = _used()
    yield
    assert _used() - before < most


def growth(work: Callable[[], object], larger: Callable[[], object]) -> float:
    """Return the ratio of the CPU times of a larger and a smaller piece of work."""
    work()  # what is done once, imports for example, is no part of it
    return _seconds(larger) / min(_seconds(work), _seconds(work))


def _seconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _used() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
