"""A model checked in a forked process, which may die or hang."""

import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.keras_files.models import KerasModel
from benchmarks.keras_files.round_trip import Result, round_trip


def checked(model: KerasModel, folder: Path, seconds: float) -> Result:
    """Return what came of the model; a process that died or took too long has failed."""
    work = Path(tempfile.mkdtemp(dir=folder))
    child = os.fork()
    if child == 0:
        _work(model, work, seconds)
    _, status = os.waitpid(child, 0)
    try:
        return Result(**json.loads((work / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        why = f"took more than {seconds:g} s" if number == signal.SIGALRM else f"the process died: status {status}"
        return Result(model.name, "failed", "process", why)
    finally:
        shutil.rmtree(work)


def _work(model: KerasModel, work: Path, seconds: float) -> None:
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with (work / "log.txt").open("w") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
        result = round_trip(model, work)
        (work / "result.json").write_text(json.dumps(asdict(result)), encoding="utf-8")
    finally:
        os._exit(0)
