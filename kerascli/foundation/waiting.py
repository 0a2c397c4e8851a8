"""How torch's CPU threads wait for each other on a machine that is not idle: asleep, so that others can work.

GNU OpenMP, which torch for Linux has, looks only 100 times, not `GOMP_SPINCOUNT` times, whether the other threads are
done, while a process has more OpenMP threads than CPUs (its manual, under GOMP_SPINCOUNT). A few idle ones are added
while the threads of this process wait for a CPU. No result depends on how threads wait.
"""

import ctypes
import os
import sys
import threading
import time

from kerascli.foundation.cpus import SPIN_COUNT, affinity, seconds_waited

PERIOD = 0.5
"""Seconds from look to look."""
CONTENDED = 0.2
"""Seconds in a second that the threads, together, wait for a CPU: up to 0.05 on an idle machine of two cores; 0.4 to
0.7 beside another process that needs them."""
_NAME = "waiting"


def adapt_waiting(threads: int) -> None:
    """Start a thread, one in a process, that lets `threads` OpenMP threads sleep while others take their CPUs.

    Does nothing where the user has set how threads wait, for one thread or more than there are CPUs, and without GNU
    OpenMP.
    """
    if not 1 < threads <= affinity() or os.environ.get("GOMP_SPINCOUNT") != SPIN_COUNT or sys.platform != "linux":
        return
    libraries = ctypes.CDLL(None)  # those of the process
    if hasattr(libraries, "GOMP_parallel") and _NAME not in {thread.name for thread in threading.enumerate()}:
        _start(libraries, affinity() - threads + 2, contended=False)


def _start(libraries: ctypes.CDLL, more: int, *, contended: bool) -> None:
    threading.Thread(target=_watch, args=(libraries, more, contended), name=_NAME, daemon=True).start()


def _watch(libraries: ctypes.CDLL, more: int, contended: bool) -> None:
    """Look whether the CPUs are contended, until that changes: then a new thread goes on, as idle OpenMP threads end
    with the one that started them."""
    if contended:
        libraries.GOMP_parallel(libraries.free, None, ctypes.c_uint(more), ctypes.c_uint(0))  # each runs free(NULL)
    changed = False
    while not changed:
        before, waited = time.monotonic(), seconds_waited()
        time.sleep(PERIOD)
        share = (seconds_waited() - waited) / (time.monotonic() - before)
        changed = (share > CONTENDED) != contended
    _start(libraries, more, contended=not contended)
