"""Send a run to an MLflow server while it trains, in a thread that the training does not wait for."""

import threading
import time
from collections.abc import Iterator, Sequence

from kerascli.callbacks.mlflow import MLflow
from kerascli.foundation.errors import KerasCliError
from kerascli.foundation.events import EpochEnd, Event, Note
from kerascli.runs import history
from kerascli.runs.reading import must_read
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting.phases import Phase
from kerascli.workflow.tracking.client import Client
from kerascli.workflow.tracking.sending import Sender

_LEAST_PAUSE_SECONDS, _PAUSE_AFTER_FAILURE_SECONDS = 1.0, 30.0
_CPU_SHARE = 0.02
"""Maximum share of a CPU core that the thread takes, which reads the whole history each time."""
_PATIENCE_SECONDS, _PATIENCE_WITH_FILES_SECONDS = 5.0, 600.0
"""Maximum time for sending what is left once the training has ended."""


def sending(events: Iterator[Event], run: RunRecord, phases: Sequence[Phase]) -> Iterator[Event]:
    """Yield the events of a training and, if its `phases` have a callback `mlflow`, send the run meanwhile."""
    trackers = [each for phase in phases for each in phase.spec.fit.callbacks if isinstance(each, MLflow)]
    if not trackers:
        yield from events
        return
    sender = _LiveSender(run, artifacts=any(each.artifacts for each in trackers))
    try:
        for event in events:
            yield event
            if isinstance(event, EpochEnd):
                sender.has_changed.set()
                yield from sender.warnings()
    except Exception:
        yield from sender.finish()
        raise
    yield from sender.finish()


class _LiveSender:
    """Thread that sends a run when it has changed. The run's folder is the queue: what fails is sent the next time."""

    def __init__(self, run: RunRecord, *, artifacts: bool) -> None:
        self._run, self._artifacts = run, artifacts
        self._sender: Sender | None = None
        self._problem: str | None = None
        self._is_reported = False
        self.has_changed, self._is_over = threading.Event(), threading.Event()
        self.has_changed.set()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def warnings(self) -> Iterator[Note]:
        """Yield the first problem as a warning."""
        if self._problem is not None and not self._is_reported:
            self._is_reported = True
            rest = f"  hint: send the rest afterwards: kerascli runs send {self._run.folder_name} --to mlflow"
            yield Note(f"mlflow: {self._problem}", "warning", below=(rest,))

    def finish(self) -> Iterator[Note]:
        """Send what is left of a run that has ended, and wait for it, but not long."""
        self._is_over.set()
        self.has_changed.set()
        self._thread.join(_PATIENCE_WITH_FILES_SECONDS if self._artifacts else _PATIENCE_SECONDS)
        if self._thread.is_alive():
            self._problem = "the server is slow: not all of the run was sent"
        yield from self.warnings()

    def _work(self) -> None:
        is_over = False
        while not is_over:
            self.has_changed.wait()
            self.has_changed.clear()
            is_over, begun = self._is_over.is_set(), time.thread_time()
            self._problem = self._send(is_over)
            pause = max(_LEAST_PAUSE_SECONDS, (time.thread_time() - begun) / _CPU_SHARE)
            self._is_over.wait(pause if self._problem is None else _PAUSE_AFTER_FAILURE_SECONDS)

    def _send(self, is_over: bool) -> str | None:
        """Send what the server does not have; return the problem if that fails."""
        try:
            self._sender = self._sender or Sender(Client(), self._run)
            path = self._run.history_writer.path
            self._sender.send(history.parse(must_read(path), path), artifacts=self._artifacts and is_over)
        except (KerasCliError, OSError) as error:
            return str(error)
        return None
