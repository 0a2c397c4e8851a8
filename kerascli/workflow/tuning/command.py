"""Run the workers of a study as processes, and watch its folder until no trial is left."""

import subprocess
import sys
import time
from collections.abc import Callable

from kerascli.foundation.errors import Interrupted
from kerascli.foundation.interrupts import deferred
from kerascli.studies.facts import FINISHED, TrialFacts
from kerascli.studies.folder import Study
from kerascli.studies.hosts import announced
from kerascli.studies.values import rows_of
from kerascli.workflow.tuning.upkeep import keep_weights

GO_ON = 75
"""Exit code of a worker that a new process is to follow."""
_POLL_SECONDS = 0.2
_SIGNALLED = {GO_ON, 129, 130, 137, 143}
"""Exit codes of workers that a new process follows while the study goes on: a signal has ended them alone."""

Show = Callable[[list[TrialFacts]], None]
"""Type of a function that shows a study's trials, which is called while they are trained."""


class Workers:
    """Processes that train the trials of a study."""

    def __init__(self, study: Study, count: int, deadline: float | None) -> None:
        self._study = study
        self._deadline = deadline
        self._processes = {index: self._started(index) for index in range(count)}
        self.code = 0
        """Exit code of the first worker that ended with an error, which it has reported; 0: none."""

    def _started(self, index: int) -> subprocess.Popen[bytes]:
        """Start a worker in a session of its own, so that Ctrl-C reaches the command alone, which passes it on."""
        own = f"{index},{self._deadline or ''}"
        command = [sys.executable, "-P", "-m", "kerascli", "tune", "--join", str(self._study.path), "--worker", own]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)

    def any_runs(self, *, go_on: bool) -> bool:
        """Return True if a worker runs; with `go_on`, follow one that a signal has ended by a new one."""
        for index, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                continue
            if go_on and (code < 0 or code in _SIGNALLED):
                self._processes[index] = self._started(index)
                continue
            del self._processes[index]
            if code > 0 and code not in _SIGNALLED:
                self.code = self.code or code
        return bool(self._processes)

    def signal(self, number: int) -> None:
        """Send a signal to all workers, whose trials are saved."""
        for process in self._processes.values():
            process.send_signal(number)


def run_study(study: Study, workers: int, show: Show) -> int:
    """Train the trials of a study by worker processes; return 0, or the exit code of a worker that failed.

    Raises Interrupted after a signal, when the trials that were trained are saved.
    """
    timeout = study.tune.timeout
    seen: dict[int, TrialFacts] = {}
    with announced(study.path) as answer, deferred() as stop:
        processes = Workers(study, workers, None if timeout is None else time.time() + timeout)
        passed_on = False
        while processes.any_runs(go_on=stop.number is None):
            if stop.number is not None and not passed_on:
                processes.signal(stop.number)
                passed_on = True
            answer()
            _read(study, seen)
            show([*seen.values()])
            time.sleep(_POLL_SECONDS)
        _read(study, seen)
        show([*seen.values()])
        if stop.number is not None:
            done = sum(each.status in FINISHED for each in seen.values())
            text = f"interrupted; {done} of {study.facts.trials} trials are done, and those that were trained are saved"
            hint = f"go on: kerascli tune --resume {study.path}"
            raise Interrupted(text, signal_number=stop.number, hint=hint)
    if sum(each.status in FINISHED for each in seen.values()) >= study.facts.trials:
        with study.locked():
            keep_weights(study, ended=True)
    return processes.code


def _read(study: Study, seen: dict[int, TrialFacts]) -> None:
    """Read the trials that are not known to have ended, with the number of their epochs so far."""
    ended = {number for number, facts in seen.items() if facts.status in FINISHED}
    for member in study.members():
        facts = None if member.name.isdigit() and int(member.name) in ended else member.facts()
        if facts is not None:
            rows = rows_of(member) if facts.status not in FINISHED else ()
            seen[facts.number] = facts.model_copy(update={"epochs": len(rows)} if rows else {})
