"""Why a training on several processes ended: the first process that fails says it, the others look who is gone."""

import contextlib
import json
import os
import signal
import socket
import threading
import time

from kerascli.foundation.errors import Fault, ProcessLost
from kerascli.foundation.world import World
from kerascli.training.distributed.timed_store import TimedStore

HINT = "train --resume continues the run from its newest checkpoint"
"""Hint beside an error about another process."""

_FIRST = "failures/first"
_ALARM = "failures/alarm"
_SECONDS_TO_EXPLAIN = 1.5
"""Time that a process which fails has to say why, before the others report that it is gone."""
_SECONDS_TO_ASK = 4.0
"""Time that the others have to ask for the reason before the store ends; on a busy machine they are slow to."""
_SECONDS_FOR_STORE = 2.0
"""Time that the store has to answer after a failure; the process that keeps it may be the one that is gone."""
_SECONDS_TO_ALARM = 0.4
"""Time between two looks whether another process has lost a connection."""
_SECONDS_TO_END = 0.5
"""Time to wait for the end of a request to the store, which may not answer."""
_SECONDS_TO_LOOK = 0.02
"""Time between two looks for a reason."""


class Reasons:
    """Reasons of failures that the processes of a training run write into, and read from, the store that they share.

    `failures/first` is the reason of the first process that failed. A process that fails, or loses its connection to
    another one, sounds the alarm, to which every process that is alive answers, if not with a reason. It keeps the
    first reason: when it needs it, the store may have ended with process 0.
    """

    def __init__(self, world: World, store: TimedStore) -> None:
        self._world = world
        self._store = store
        self._gone: list[int] = []
        self.kept: ProcessLost | None = None
        """First reason of a failure, once this process has heard of it."""
        self.is_deaf = False
        """True if the store does not answer any more."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def listen(self) -> None:
        """Answer the alarm from now on, in a thread."""
        self._thread = threading.Thread(target=self.answer_alarm, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Listen no longer: Python aborts a process that ends while a thread of it is in a request to the store."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_SECONDS_TO_END)

    def are_there(self) -> bool:
        """Return True if a process has failed."""
        return self._store.has([_FIRST])

    def wait(self, seconds: float) -> None:
        """Wait until a process has failed, for some seconds at most, or until the store is gone."""
        until = time.monotonic() + seconds
        with contextlib.suppress(RuntimeError):
            while time.monotonic() < until and not self.are_there():
                time.sleep(_SECONDS_TO_LOOK)

    def leave(self, text: str, *, heard: bool, code: int = ProcessLost.exit_code) -> bool:
        """Leave the reason why this process failed, and its exit code; return True if it is the first one.

        `heard` says that the reason is another process, which is gone.
        """
        try:
            self._store.timeout = _SECONDS_FOR_STORE
            self._say("asked", "alive")
            is_first = self._store.set_first(_FIRST, json.dumps([self._world.rank, text, heard, code, self._gone]))
            self._store.set(_ALARM, "")
            return is_first
        except RuntimeError:  # the store is gone, with the process or the launcher that kept it
            return self.kept is None and self._world.rank <= 1

    def wait_for_others(self) -> None:
        """Give the others time to ask for the reason, if the store ends with this process."""
        if not self._world.leads or kept_by_launcher():
            return
        until = time.monotonic() + _SECONDS_TO_ASK
        with contextlib.suppress(RuntimeError):
            asked = [key for rank, key in enumerate(self._keys("asked")) if rank not in self._gone]
            while not self._store.has(asked) and time.monotonic() < until:
                time.sleep(_SECONDS_TO_LOOK)
        time.sleep(10 * _SECONDS_TO_LOOK)

    def found(self) -> ProcessLost:
        """Return an error with the reason of the first process that failed, or the ranks that are gone without one."""
        try:
            self._store.timeout = _SECONDS_FOR_STORE
            self._say("asked", "alive")
            self._store.set(_ALARM, "")
            until = time.monotonic() + _SECONDS_TO_EXPLAIN
            while time.monotonic() < until and not self.are_there():
                time.sleep(_SECONDS_TO_LOOK)
            if self.are_there():
                return self._first()
            self._gone = [rank for rank, key in enumerate(self._keys("alive")) if not self._store.has([key])]
            self._wake_gone()
        except RuntimeError:
            if self.kept is not None:
                return self.kept
            return _lost("the launcher" if kept_by_launcher() else f"process 0 of {self._world.size}")
        if not self._gone:
            return ProcessLost(Fault(f"the others did not wait for process {self._world.rank}", hint=HINT))
        return _lost(f"process{'es' * (len(self._gone) > 1)} {', '.join(map(str, self._gone))} of {self._world.size}")

    def _wake_gone(self) -> None:
        """Let processes of this machine go on that do not answer because they are stopped: they see that it is over."""
        for key in (f"pids/{rank}" for rank in self._gone):
            if self._store.has([key]):
                host, pid = json.loads(self._store.get(key))
                with contextlib.suppress(OSError):  # it has ended
                    if host == socket.gethostname() and hasattr(signal, "SIGCONT"):
                        os.kill(pid, signal.SIGCONT)

    def answer_alarm(self) -> None:
        """Wait for the alarm, answer that this process is alive, and keep the first reason. For a thread.

        The process itself may be in a sum, of whose failure it learns when the others have ended; or in a long
        computation, after which nobody is left to tell it.
        """
        try:
            self._store.set(f"pids/{self._world.rank}", json.dumps([socket.gethostname(), os.getpid()]))
            while not self._store.has([_ALARM]):
                if self._ended.wait(_SECONDS_TO_ALARM):
                    return
            self._say("alive")
            while not self.are_there():
                if self._ended.wait(_SECONDS_TO_LOOK):
                    return
            self.kept = self._first()
            self._say("asked")
        except RuntimeError:  # the store is gone
            self.is_deaf = True

    def _first(self) -> ProcessLost:
        rank, text, heard, code, self._gone = json.loads(self._store.get(_FIRST))
        told = Fault(text, hint=HINT) if heard else f"process {rank} of {self._world.size} failed: {text}"
        return ProcessLost(told, exit_code=code)

    def _say(self, *kinds: str) -> None:
        for kind in kinds:
            self._store.set(self._keys(kind)[self._world.rank], "")

    def _keys(self, kind: str) -> list[str]:
        return [f"failures/{kind}/{rank}" for rank in range(self._world.size)]


def kept_by_launcher() -> bool:
    """Return True if the launcher keeps the store, not process 0."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _lost(who: str) -> ProcessLost:
    return ProcessLost(Fault(f"{who} ended without a reason, or stopped answering", hint=HINT))
