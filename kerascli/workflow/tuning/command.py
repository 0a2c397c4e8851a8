"""Run the workers of a study as processes, and watch its folder until no trial is left.

Commands of several hosts that share the folder first find out whether file locks hold between them.
"""

import contextlib
import math
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
from kerascli.runs.reading import quoted
from kerascli.studies.folder import FINISHED, Study
from kerascli.workflow.tuning.worker import GO_ON

Process = subprocess.Popen[bytes]
_POLL_SECONDS = 0.5
ALIVE_SECONDS = 10.0
"""Time in which a command on another host gives a sign of life, unless it has ended."""


def run_study(study: Study, workers: int, show: Callable[[], None]) -> int:
    """Train the trials of a study by worker processes; return 0, or the exit code of a worker that failed.

    `show` shows the study, again and again. Raises Interrupted after a signal, when the trials that were trained are
    saved.
    """
    code, deadline = 0, time.time() + (study.tune.timeout or math.inf)

    def started(index: int) -> Process:
        """Start a worker in a session of its own, so that Ctrl-C reaches the command alone, which passes it on."""
        command = [sys.executable, "-P", "-m", "kerascli", "tune", "--join", str(study.path)]
        command += ["--worker", f"{index},{deadline},{os.getpid()}"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)

    with announced(study.path) as give_sign, deferred() as stop:
        processes = {index: started(index) for index in range(workers)}
        while processes and stop.number is None:
            give_sign()
            show()
            time.sleep(_POLL_SECONDS)
            code = _follow(processes, started) or code
        for process in processes.values():
            process.send_signal(stop.number or 0)
        for process in processes.values():
            process.wait()
        show()
        if stop.number is not None:
            done = sum(each.status in FINISHED for each in study.trials())
            text = f"interrupted; {done}{study.facts.of} trials are done, and those that were trained are saved"
            hint = f"go on: kerascli tune --resume {study.path}"
            raise Interrupted(text, signal_number=stop.number, hint=hint)
    return code


def _follow(processes: dict[int, Process], started: Callable[[int], Process]) -> int:
    """Start new workers for those that a signal has ended alone, or that ask for it; forget others that have ended.

    Returns the exit code of a worker that failed, else 0.
    """
    code = 0
    for index, process in [*processes.items()]:
        ended = process.poll()
        if ended is not None and (ended < 0 or ended >= GO_ON):
            processes[index] = started(index)
        elif ended is not None:
            del processes[index]
            code = code or ended
    return code


@contextlib.contextmanager
def announced(study: Path) -> Iterator[Callable[[], None]]:
    """Context manager that announces this command to those of other hosts, by a file that it holds locked.

    It yields a function to call now and then, which is a sign of life to them. Raises StorageError if a command of
    another host lives whose lock is not seen here: each would train the trials of the other.
    """
    own = study / f"{socket.gethostname()}-{os.getpid()}.command"
    with locks.lock(study, name=own.name):
        if before := _unlocked(own):
            time.sleep(ALIVE_SECONDS)
            if any(before.get(file, sign) != sign for file, sign in _unlocked(own).items()):
                text = f"file locks in {quoted(study)} do not hold between hosts"
                hint = "use one host, or a file system with locks (NFSv4, Lustre with flock)"
                raise StorageError(f"{text}: {own.stem} does not see those of another", hint=hint)
        yield own.touch
    storage.remove_file(own)


def _unlocked(own: Path) -> dict[Path, int]:
    """Return the time of the last sign of life of each command of another host whose lock is not seen here."""
    signs: dict[Path, int] = {}
    for file in own.parent.glob("*.command"):
        is_other = file.name.rpartition("-")[0] != own.name.rpartition("-")[0]
        with contextlib.suppress(FileNotFoundError):
            if is_other and not locks.locked(own.parent, file.name):
                signs[file] = file.stat().st_mtime_ns
    return signs
