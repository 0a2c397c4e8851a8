"""First failure of a run on several processes: the failing process records the reason, the other ones report it."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from kerascli.foundation.errors import Fault, ProcessLost, TrainingStopped
from kerascli.foundation.world import World

if TYPE_CHECKING:
    from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]

T = TypeVar("T")

_HINT = "train --resume continues the run from its newest checkpoint"
_FIRST = "failures/first"
_SECONDS_TO_EXPLAIN = 1.5
"""Seconds that a failing process has to record its reason, before the others report the process as lost."""
_SECONDS_TO_READ = 4.0
"""Seconds that the others have to read the reason before the store closes; on a busy machine they are slow."""
_SECONDS_TO_SAVE = 4.0
"""Seconds that process 0 has to save the last weights, before another process records why training stops."""
_SECONDS_FOR_STORE = 2.0
"""Timeout in seconds of requests to the store after a failure; the process that hosts it may be the lost one."""
_SECONDS_TO_LOOK = 0.02
_DESCRIPTORS = "/dev/fd"
"""Folder with the open files of this process, by descriptor; Windows has none."""


class Failures:
    """Record of the first failure among the processes of a run, in torch.distributed's key-value store.

    A killed process records no reason: the other processes report that one is lost, and `--processes`, which one.
    """

    def __init__(self, world: World, store: "Store", addresses: Sequence[tuple[str, int]]) -> None:
        """Initialize; `addresses` are (host name, process id) of each process, in the order of ranks."""
        self._world = world
        self._store = store
        self._addresses = addresses
        self._ends = [f"failures/ends/{rank}" for rank in range(world.size)]
        """Keys that processes set in the store once they have recorded a reason, or read it, by rank."""

    def is_first(self, error: BaseException, code: int, text: str | None = None) -> bool:
        """Record why this process fails, and its exit code; return True if no other process failed before it.

        The first process to fail reports the error. `text` is the reason; default: the error's message.
        """
        is_reported = isinstance(error, ProcessLost)
        reason = json.dumps([self._world.rank, str(error) if text is None else text, is_reported, code])
        try:
            if isinstance(error, TrainingStopped) and not is_reported and not self._world.leads:
                self._wait_for([_FIRST], _SECONDS_TO_SAVE)  # all stop; process 0 says so once it has saved the weights
            is_first = self._ask(lambda: self._store.compare_set(_FIRST, "", reason)) == reason.encode()
            self._ask(lambda: self._store.set(self._ends[self._world.rank], ""))
            return is_first
        except RuntimeError:  # the store is gone, with the process or the launcher that kept it
            return self._world.rank <= 1

    def reason(self) -> ProcessLost:
        """Return an error with the reason that the first failing process recorded, or that a process is lost."""
        try:
            if self._wait_for([_FIRST], _SECONDS_TO_EXPLAIN):
                return self._first()
        except RuntimeError:
            return _lost("the launcher" if kept_by_launcher() else f"process 0 of {self._world.size}")
        self._wake()
        return _lost(f"process {1 - self._world.rank} of 2" if self._world.size == 2 else "a process")

    def wait_for_readers(self) -> None:
        """Wait until all processes have read the recorded failure, at most 4 s.

        Only the process that hosts torch.distributed's key-value store waits: the record is lost when it ends.
        """
        if not self._world.leads or kept_by_launcher():
            return
        _close_connections()
        with contextlib.suppress(RuntimeError):
            self._wait_for(self._ends, _SECONDS_TO_READ)

    def _wait_for(self, keys: list[str], seconds: float) -> bool:
        """Wait until processes have set all keys in the store; return False if they have not after `seconds`.

        Raises RuntimeError if the store does not answer.
        """
        until = time.monotonic() + seconds
        while not self._ask(lambda: self._store.check(keys)):
            if time.monotonic() > until:
                return False
            time.sleep(_SECONDS_TO_LOOK)
        return True

    def _first(self) -> ProcessLost:
        rank, text, is_reported, code = json.loads(self._ask(lambda: self._store.get(_FIRST)))
        reason = Fault(text, hint=_HINT) if is_reported else f"process {rank} of {self._world.size} failed: {text}"
        return ProcessLost(reason, exit_code=code)

    def _wake(self) -> None:
        """Resume the processes of this machine that are stopped, so that they detect the failure."""
        for host, pid in self._addresses:
            with contextlib.suppress(OSError):  # it has ended
                if host == socket.gethostname() and hasattr(signal, "SIGCONT"):
                    os.kill(pid, signal.SIGCONT)

    def _ask(self, request: Callable[[], T]) -> T:
        """Return the store's answer. Raises RuntimeError if the host of the store is gone, or does not answer."""
        try:
            return in_thread(request, _SECONDS_FOR_STORE)
        except TimeoutError:
            raise RuntimeError("the store does not answer") from None


def kept_by_launcher() -> bool:
    """Return True if the launcher (torchrun) hosts torch.distributed's key-value store, False if process 0 does."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _close_connections() -> None:
    """Close this process's network connections, which FSDP's objects keep open, except those of the store.

    Other processes that wait for this one then get an error.
    """
    for name in os.listdir(_DESCRIPTORS) if os.path.isdir(_DESCRIPTORS) else ():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                ports = [str(address[1]) for address in (connection.getsockname(), connection.getpeername())]
                if os.environ.get("MASTER_PORT") not in ports:
                    connection.shutdown(socket.SHUT_RDWR)


def in_thread(work: Callable[[], T], timeout: float | None = None) -> T:
    """Run a function in a thread and return its result or raise its error; signals are handled meanwhile.

    Raises TimeoutError after `timeout` seconds; the thread, which cannot be ended, then does not keep the process
    alive.
    """
    answer = Future[T]()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # raised again in the thread that waits
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer.result(timeout)


def _lost(who: str) -> ProcessLost:
    return ProcessLost(Fault(f"{who} ended without a reason, or stopped answering", hint=_HINT))
