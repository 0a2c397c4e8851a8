"""Record the events of a training run in its folder: history.csv, checkpoints, logs and samples.

One process records the run; every other process does the same work, and writes nothing but its parts of checkpoints.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from kerascli.foundation import events
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.disk.storage import csv_text
from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.foundation.spans import span
from kerascli.runs.history import Prefix
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting.phases import PhaseRunner
from kerascli.workflow.fitting.sample_writer import write_sample
from kerascli.workflow.fitting.saver import Saver
from kerascli.workflow.generation import ModelContext

_TIMEOUT_SECONDS = 3.0
"""Timeout in seconds of requests that send metrics to a server."""


class NoRecord(RunRecord):
    """Folder of a run on a process that does not record the run: it writes nothing but its parts of checkpoints."""

    def note(self, **facts: Any) -> None:
        """Ignore facts that `RunRecord.note` would write to run.json."""

    def finish(self, status: str, *, reason: str | None = None, results: object = None) -> None:
        """Ignore the end of the run, which `RunRecord.finish` would write to run.json."""

    def write_weights(self, data: bytes | Pieces) -> None:
        """Compute the contents of a weights file without writing it: gathering FSDP's weights needs every process."""
        for _ in data:
            pass


class Recorder(Saver):
    """Consumer that writes training events to the run's folder (history.csv, checkpoints ...), which must be locked."""

    def __init__(self, runner: PhaseRunner, run: RunRecord) -> None:
        super().__init__(runner, run.checkpoints)
        self._run = run
        data = runner.phase.prepared
        self._context = ModelContext(runner.state.experiment, data.learned, data)
        self._boards: dict[str, Any] = {}
        """TensorBoard's SummaryWriters, one for each folder in the run's logs/, opened on the first write."""
        self._unreachable: set[str] = set()
        self._logs: dict[str, list[str]] = {}
        """Columns of each file in the run's logs/ that this process appends to, by file name."""

    def record(self, event: events.Event) -> Sequence[events.Event]:
        """Record an event; return notes to print, and the events of checkpoints that are now complete."""
        notes: list[events.Note] = []
        if isinstance(event, events.EpochEnd):
            with span("records"):
                self._run.history_writer.append(self.progress.row)
        if isinstance(event, (events.BatchEnd, events.EpochEnd)) and event.records:
            with span("records"):
                notes = list(filter(None, map(self._write, event.records)))
        return [*notes, *super().record(event)]

    def _history(self) -> Prefix:
        for file in self._logs:
            self._run.sync_log(file)
        return self._run.history_writer.synced_prefix()

    def _write(self, record: events.Record) -> events.Note | None:
        """Write what a callback has decided to record: a log row, TensorBoard values, a sample, or a POST request."""
        match record:
            case events.AppendRow(file, row, separator):
                if row.keys() <= set(self._logs.get(file, ())):
                    self._run.append_log(file, _log_lines(self._logs[file], [row], separator))
                else:
                    self._rewrite_log(file, row, separator)
            case events.WriteScalars(folder, step, values):
                for name, value in values.items():
                    self._board(folder).add_scalar(name, value, step)
                self._board(folder).flush()  # TensorBoard reads the file as it grows
            case events.WriteHistograms(folder, step):
                self._write_histograms(self._board(folder), step)
            case events.WriteSample(name, _) | events.WriteEmbeddings(name, _):
                try:
                    write_sample(record, self._run, self._context)
                except ConfigError as error:  # no reason to abort the training
                    return events.Note(f"the sample '{name}' could not be made: {error}", "warning")
            case events.Post(url):
                problem = _post(record)
                if problem is not None and url not in self._unreachable:
                    self._unreachable.add(url)
                    return events.Note(f"remote_monitor: could not send metrics to {url}: {problem}", "warning")
        return None

    def _board(self, folder: str) -> Any:
        """Return a folder's SummaryWriter. Each process adds a file: epochs trained again after a kill appear twice."""
        if folder not in self._boards:
            from torch.utils.tensorboard import SummaryWriter

            self._boards[folder] = SummaryWriter(str(self._run.log_folder(folder)))
        return self._boards[folder]

    def _write_histograms(self, board: Any, step: int) -> None:
        """Write a histogram of every weight whose values are all finite."""
        for name, weight in self.trainer.snapshot().items():
            if weight.numel() and bool(weight.isfinite().all()):
                board.add_histogram(name, weight, step)
        board.flush()

    def _rewrite_log(self, file: str, row: Mapping[str, float], separator: str) -> None:
        """Rewrite a CSV file in the run's logs/ with a new row, without rows of epochs that are trained again."""
        text = self._run.log(file) or ""
        whole = text[: text.rfind("\n") + 1]  # a kill can leave an incomplete line
        reader = csv.DictReader(io.StringIO(whole), delimiter=separator, strict=True)
        try:
            kept = [old for old in reader if int(old["epoch"]) < row["epoch"]]
        except (csv.Error, KeyError, TypeError, ValueError):
            what = f"the run's log '{file}' is damaged: expected the number of an 'epoch' in every row"
            raise FileRefused(what, hint="the run can be resumed without it") from None
        rows = [*kept, row]
        names = list(dict.fromkeys(name for each in rows for name in each))  # an epoch without validation has fewer
        header = dict(zip(names, names, strict=True))
        self._run.write_log(file, _log_lines(names, [header, *rows], separator))
        self._logs[file] = names


def _log_lines(names: Sequence[str], rows: Sequence[Mapping[str, object]], separator: str) -> str:
    return csv_text(([row.get(name, "NA") for name in names] for row in rows), separator)


def _post(request: events.Post) -> str | None:
    """Send a POST request, with a short timeout; return None on success, else an error message."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(request.url, request.body, dict(request.headers)), timeout=_TIMEOUT_SECONDS):
            return None
    except (OSError, HTTPException, ValueError) as error:
        return str(getattr(error, "reason", None) or error) or type(error).__name__
