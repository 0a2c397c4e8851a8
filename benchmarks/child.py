"""What runs in a process of its own, so that it can be timed and measured; answers are lines of JSON.

python -m benchmarks.child epochs JOB              an epoch for every line "go" on stdin
python -m benchmarks.child script JOB              all epochs in one go, as a script of the peer's would
python -m benchmarks.child prepare JOB ROWS PEER ...     fill the job's folder, lest the driver grow by it
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import TextIO

from benchmarks.peers import OnEpoch, load
from benchmarks.processes import mebibytes
from benchmarks.workloads import Job


class _End(BaseException):
    """The orders are over; no exception, lest a peer's `except Exception` swallows it."""


def serve(run: Callable[[OnEpoch], object], orders: TextIO, answers: TextIO) -> None:
    """Say that all is imported, then do as told. The first epoch includes reading, building and compiling."""
    started = 0.0

    def wait() -> None:
        nonlocal started
        if orders.readline() != "go\n":
            raise _End
        started = time.perf_counter()

    def on_epoch(loss: float) -> None:
        _tell(answers, seconds=time.perf_counter() - started, loss=loss)
        wait()

    _tell(answers, ready=True)
    try:
        wait()
        run(on_epoch)
    except _End:
        _tell(answers, peak_mib=mebibytes(resource.getrusage(resource.RUSAGE_SELF)))


def _epochs(answers: TextIO, text: str) -> None:
    job = Job.from_json(text)
    run = load(job.peer)
    serve(lambda on_epoch: run(job, on_epoch), sys.stdin, answers)


def _script(answers: TextIO, text: str) -> None:
    job = Job.from_json(text)
    load(job.peer)(job, lambda loss: None)


def _prepare(answers: TextIO, text: str, rows: str, *peers: str) -> None:
    from kerascli.foundation.cpus import prepare_environment

    prepare_environment()
    from benchmarks.prepare import prepare

    prepare(Job.from_json(text), int(rows), list(peers))


def _tell(answers: TextIO, **facts: object) -> None:
    print(json.dumps(facts), file=answers, flush=True)


def private_stdout() -> TextIO:
    """stdout for answers alone: what libraries print there goes to stderr from here on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


_TASKS = {"epochs": _epochs, "script": _script, "prepare": _prepare}

if __name__ == "__main__":
    _TASKS[sys.argv[1]](private_stdout(), *sys.argv[2:])
