"""Record the events of a training in the run's folder: history.csv, checkpoints, logs and samples."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from kerascli.callbacks.base import Callback
from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.foundation.events import (
    AppendRow,
    BatchEnd,
    EpochEnd,
    Event,
    Note,
    Post,
    Record,
    Saved,
    WriteHistograms,
    WriteSample,
    WriteScalars,
)
from kerascli.foundation.spans import span
from kerascli.runs.checkpoints import Checkpoint
from kerascli.runs.history import Prefix
from kerascli.runs.record import RunRecord
from kerascli.training.checkpoint import reinstate
from kerascli.training.checkpoint_files import TRAINING, needed_files, training_tensors
from kerascli.training.distributed.processes import ALONE, Processes
from kerascli.training.progress import Progress
from kerascli.training.step import Trainer
from kerascli.workflow.fitting.http_post import post
from kerascli.workflow.fitting.saver import Saver
from kerascli.workflow.fitting.tensorboard import TensorBoardWriters
from kerascli.workflow.generation.samples import SampleWriter


class Recorder:
    """Writes the events of a training to the run's folder (history.csv, checkpoints ...); needs the run's lock."""

    def __init__(self, record: RunRecord, saver: Saver, samples: SampleWriter) -> None:
        self.record = record
        self.trainer = saver.trainer
        self.progress = saver.progress
        self._saver = saver
        self._samples = samples
        self._tensorboard = TensorBoardWriters(record)
        self._unreachable: set[str] = set()
        self._logs: dict[str, list[str]] = {}
        """Columns of each file in the run's logs/ that this process appends to, by file name."""

    def follow(self, events: Iterator[Event]) -> Iterator[Event]:
        """Yield every event of a training after recording it; after a checkpoint, yield a `Saved` event, too."""
        for event in events:
            notes: list[Note] = []
            saved = self._record(event, notes)
            yield event
            yield from notes
            yield from saved

    def _record(self, event: Event, notes: list[Note]) -> list[Saved]:
        if isinstance(event, EpochEnd):
            with span("records"):
                self.record.history_writer.append(self.progress.row)
        if isinstance(event, (BatchEnd, EpochEnd)) and event.records:
            with span("records"):
                notes += filter(None, map(self._write, event.records))
        return self._saver.record(event, self._synced_history)

    def save_and_wait(self, reason: str) -> None:
        """Write a checkpoint of the training's current state. Raises TrainingStopped if a value is NaN or infinite."""
        self._saver.save(reason, history=self._synced_history, wait=True)

    def _synced_history(self) -> Prefix:
        """Write logs and history.csv durably; return the part of it that there is."""
        for file in self._logs:
            self.record.sync_log(file)
        return self.record.history_writer.synced_prefix()

    def _write(self, record: Record) -> Note | None:
        """Write what a callback has decided to record: a log row, TensorBoard values, a sample, or a POST request."""
        match record:
            case AppendRow(file, row, separator):
                self._log_row(file, row, separator)
            case WriteScalars(folder, step, values):
                self._tensorboard.write_scalars(folder, step, values)
            case WriteHistograms(folder, step):
                self._tensorboard.write_histograms(folder, step, self.trainer.snapshot())
            case WriteSample(name, epoch):
                try:
                    self._samples.write(name, epoch)
                except ConfigError as error:  # no reason to abort the training
                    return Note(f"the sample '{name}' could not be made: {error}", "warning")
            case Post(url):
                problem = post(record)
                if problem is not None and url not in self._unreachable:
                    self._unreachable.add(url)
                    return Note(f"remote_monitor: could not send metrics to {url}: {problem}", "warning")
        return None

    def _log_row(self, file: str, row: Mapping[str, float], separator: str) -> None:
        """Append the values of an epoch as a row to a CSV file in the run's logs/."""
        if not row.keys() <= set(self._logs.get(file, ())):
            self._rewrite_log(file, row, separator)
        else:
            self.record.append_log(file, _log_lines(self._logs[file], [row], separator))

    def _rewrite_log(self, file: str, row: Mapping[str, float], separator: str) -> None:
        """Rewrite a CSV file in the run's logs/ with a new row, without rows of epochs that are trained again."""
        text = self.record.log(file) or ""
        whole = text[: text.rfind("\n") + 1]  # a kill can leave an incomplete line
        known = csv.DictReader(io.StringIO(whole), delimiter=separator, strict=True)
        try:
            kept = [old for old in known if int(old["epoch"]) < row["epoch"]]
        except (csv.Error, KeyError, TypeError, ValueError):
            what = f"the run's log '{file}' is damaged: expected the number of an 'epoch' in every row"
            raise FileRefused(what, hint="the run can be resumed without it") from None
        rows = [*kept, row]
        names = list(dict.fromkeys(name for each in rows for name in each))  # an epoch without validation has fewer
        header = dict(zip(names, names, strict=True))
        self.record.write_log(file, _log_lines(names, [header, *rows], separator))
        self._logs[file] = names


def _log_lines(names: Sequence[str], rows: Sequence[Mapping[str, object]], separator: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="NA", delimiter=separator, lineterminator="\n")
    writer.writerows(rows)
    return text.getvalue()


_SHARED = "put the run on a file system that all machines share, or copy it to all"


def newest(
    record: RunRecord, processes: Processes = ALONE, part: str | None = None
) -> tuple[Checkpoint | None, list[Note]]:
    """Return the newest intact checkpoint of a run, or None if it has none yet; and notes on damaged ones.

    Of several processes, it is the newest one that is intact for all. `part` is the name of the file with this
    process's parts of weights, if each reads its own.
    """
    are_there = processes.exchange(bool(record.checkpoints.steps()))
    if not any(are_there):
        return None, [Note("no checkpoint was written yet: starting from the beginning")]
    if not all(are_there):
        raise FileRefused(f"process {are_there.index(False)} does not see the checkpoints of the run", hint=_SHARED)
    needed = None if part is None else partial(needed_files, part=part)
    checkpoint = record.checkpoints.newest(needed)
    while len(steps := set(processes.exchange(checkpoint.step))) > 1:
        checkpoint = record.checkpoints.newest(needed, up_to=min(steps))
    further = [text for text in record.checkpoints.doubts() if not any(w.startswith(text) for w in checkpoint.warnings)]
    notes = [Note(text, "warning") for text in (*checkpoint.warnings, *further)]
    if TRAINING not in checkpoint.blobs:
        raise FileRefused(f"the checkpoint of step {checkpoint.step} has no training state")
    return checkpoint, notes


def restore(
    checkpoint: Checkpoint, trainer: Trainer, callbacks: Sequence[Callback], part: str | None = None
) -> Progress:
    """Load a checkpoint into a trainer; return the training's progress. Raises FileRefused if it does not fit.

    `part` is the name of the file that this process has written, if it is one of several with parts of the weights.
    """
    tensors = training_tensors(checkpoint.blobs, trainer.ranges(), part)
    return reinstate(trainer, tensors, checkpoint.facts, callbacks)
