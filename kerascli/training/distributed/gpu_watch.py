"""End of a process that waits on its GPU for others that are gone: NCCL would wait on, and Python is not asked."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from kerascli.foundation.errors import ProcessLost
from kerascli.foundation.world import World
from kerascli.training.distributed.reasons import Reasons
from kerascli.training.distributed.timed_store import TimedStore

_SECONDS_TO_LOOK = 0.2
"""Time between two looks whether other processes are there."""
_SECONDS_TO_LEAVE = 2.0
"""Time that the main thread has to leave by itself, once another process is gone."""
_SECONDS_TO_END = 1.0
"""Time to wait for the end of the thread that looks."""


class Member(NamedTuple):
    """One of the processes that train together: its machine, its number there, and the GPU that it uses."""

    host: str
    pid: int
    gpu: str


class GpuWatch:
    """Thread that looks for other processes that are gone, while the main thread may wait on its GPU for them.

    A process is gone if it said why it failed, if it no longer exists on this machine, or if sums over processes do not
    arrive for `timeout` seconds. The main thread has a moment to leave by itself; then `end` is called.
    """

    def __init__(
        self,
        world: World,
        members: Sequence[Member],
        device: str,
        timeout: float,
        store: TimedStore,
        reasons: Reasons,
        end: Callable[[ProcessLost, bool], None],
    ) -> None:
        """`end` gets the reason, and True if this process is the first that gives one; it is to end the process."""
        own = members[world.rank]
        self._beside = {r: m.pid for r, m in enumerate(members) if m.host == own.host and r != world.rank}
        self._device = device
        self._timeout = timeout
        self._store = store
        self._reasons = reasons
        self._end = end
        self._newest: tuple[torch.cuda.Event, float] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="gpu-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """Look no longer: this process leaves the others."""
        self._ended.set()
        self._thread.join(_SECONDS_TO_END)

    def sent(self) -> None:
        """Note that the GPU's queue has work that waits for other processes."""
        event = torch.cuda.Event()
        event.record()
        self._newest = event, time.monotonic()

    def _look(self) -> None:
        torch.cuda.set_device(self._device)  # a thread begins with GPU 0, and would take memory there
        while not self._ended.wait(_SECONDS_TO_LOOK):
            if (lost := self._lost()) is not None:
                is_first = self._reasons.leave(str(lost), heard=True)  # so that the others know it, too
                if not self._ended.wait(_SECONDS_TO_LEAVE):
                    self._end(lost, is_first)
                return

    def _lost(self) -> ProcessLost | None:
        """Return why this process waits in vain, or None."""
        if self._reasons.kept is not None:
            return self._reasons.kept
        if self._reasons.is_deaf or self._one_is_gone() or self._is_late():
            return None if self._ended.is_set() else self._reasons.found()
        return None

    def _one_is_gone(self) -> bool:
        gone = [rank for rank, pid in self._beside.items() if not _exists(pid)]
        try:
            return any(not self._store.has([f"left/{rank}"]) for rank in gone)
        except RuntimeError:  # the store is gone with it
            return True

    def _is_late(self) -> bool:
        """Return True if the newest work in the GPU's queue has waited too long; older work is done before it."""
        if self._newest is None:
            return False
        event, since = self._newest
        return time.monotonic() - since > self._timeout and not event.query()


def _exists(pid: int) -> bool:
    """Return True if a process of this machine has not ended; one that its parent has not asked for has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
