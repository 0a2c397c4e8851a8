"""Run the workers of a study as processes, and watch its folder until no trial is left.

Commands of several hosts that share the folder first find out whether file locks hold between them.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kerascli.foundation.disk import locks, storage
from kerascli.foundation.errors import Interrupted, StorageError
from kerascli.foundation.interrupts import deferred
from kerascli.runs.reading import quoted, read_text
from kerascli.studies.folder import FINISHED, Study
from kerascli.workflow.tuning.worker import settle

Process = subprocess.Popen[bytes]
GO_ON = 75
"""Exit code of a worker that a new process is to follow."""
_POLL_SECONDS = 0.5
ANSWER_SECONDS = 10.0
"""Time in which a command on another host answers, unless it has ended."""
_SEEN = "seen.txt"
_SIGNALLED = {GO_ON, 129, 130, 137, 143}
"""Exit codes of workers that a new process follows while the study goes on: a signal has ended them alone."""


def run_study(study: Study, workers: int, show: Callable[[], None]) -> int:
    """Train the trials of a study by worker processes; return 0, or the exit code of the first worker that failed.

    `show` shows the study, again and again. Raises Interrupted after a signal, when the trials that were trained are
    saved.
    """
    timeout, code, is_passed_on = study.tune.timeout, 0, False
    deadline = "" if timeout is None else str(time.time() + timeout)

    def started(index: int) -> Process:
        """Start a worker in a session of its own, so that Ctrl-C reaches the command alone, which passes it on."""
        command = [sys.executable, "-P", "-m", "kerascli", "tune", "--join", str(study.path)]
        command += ["--worker", f"{index},{deadline},{os.getpid()}"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)

    with announced(study.path) as answer, deferred() as stop:
        processes = {index: started(index) for index in range(workers)}
        while processes:
            answer()
            show()
            time.sleep(_POLL_SECONDS)
            if stop.number is not None and not is_passed_on:
                for process in processes.values():
                    process.send_signal(stop.number)
                is_passed_on = True
            failed = _follow(processes, started if stop.number is None else None)
            code = code or failed
        show()
        done = sum(each.status in FINISHED for each in study.trials())
        if stop.number is not None:
            text = f"interrupted; {done}{study.facts.of} trials are done, and those that were trained are saved"
            hint = f"go on: kerascli tune --resume {study.path}"
            raise Interrupted(text, signal_number=stop.number, hint=hint)
    if done >= study.facts.trials:
        settle(study, ended=True)
    return code


def _follow(processes: dict[int, Process], started: Callable[[int], Process] | None) -> int:
    """Follow workers that a signal has ended by new ones, unless `started` is None; forget others that have ended.

    Returns the exit code of a worker that failed, else 0.
    """
    code = 0
    for index, ended in [(index, process.poll()) for index, process in processes.items()]:
        is_signalled = ended is not None and (ended < 0 or ended in _SIGNALLED)
        if is_signalled and started is not None:
            processes[index] = started(index)
        elif ended is not None:
            del processes[index]
            code = code or (0 if is_signalled else ended)
    return code


@contextlib.contextmanager
def announced(study: Path) -> Iterator[Callable[[], bool]]:
    """Context manager that announces this command to those of other hosts, by a folder that it holds locked.

    It yields a function that answers the others, whether their locks are seen here, and returns True if there are some.
    Raises StorageError if another host has answered that it does not see the lock of this one: each would train the
    trials of the other.
    """
    folder, host = study / "hosts", socket.gethostname()
    own = folder / f"{host}-{os.getpid()}"
    storage.make_folder(own)

    def answer() -> bool:
        others = [path for path in folder.iterdir() if path.name.rpartition("-")[0] != host]
        for path in others:
            if not (path / _SEEN).exists():
                storage.write_text(path / _SEEN, "locked" if locks.locked(path) else "not locked")
        return bool(others)

    with locks.lock(own):
        end, seen = time.monotonic() + ANSWER_SECONDS, own / _SEEN
        while answer() and not seen.exists() and time.monotonic() < end:
            time.sleep(0.1)
        if seen.exists() and read_text(seen) != "locked":
            text = f"file locks in {quoted(study)} do not hold between hosts: one of them does not see those of {host}"
            raise StorageError(text, hint="use one host, or a file system with locks (NFSv4, Lustre with flock)")
        yield answer
    with contextlib.suppress(StorageError):
        storage.remove_folder(own)
