"""Record the events of a training in the run's folder: history.csv, checkpoints, logs and samples."""

import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence

from safetensors.torch import load as load_tensors

from kerascli.callbacks.base import Callback
from kerascli.errors import ConfigError, FileRefused
from kerascli.events import (
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
from kerascli.runs.checkpoints import Checkpoint
from kerascli.runs.record import RunRecord
from kerascli.spans import span
from kerascli.training.checkpoint import capture, reinstate
from kerascli.training.finite import refuse_bad_step, refuse_bad_weights
from kerascli.training.loop import Plan
from kerascli.training.progress import Progress
from kerascli.training.step import Trainer
from kerascli.training.tensor_file import tensor_pieces
from kerascli.workflow.fitting.http_post import post
from kerascli.workflow.fitting.tensorboard import TensorBoardWriters
from kerascli.workflow.generation.samples import SampleWriter

FIRST_SECONDS = 1.0
"""Minimum seconds since the start of training for the first checkpoint at the end of an epoch."""
EPOCH_SECONDS = 10.0
"""Minimum seconds since the last checkpoint for a new one at the end of an epoch."""
BATCH_SECONDS = 300.0
"""Minimum seconds since the last checkpoint for a new one within an epoch."""

TRAINING = "training.safetensors"


class Recorder:
    """Writes the events of a training to the run's folder (history.csv, checkpoints ...); needs the run's lock."""

    def __init__(
        self, record: RunRecord, trainer: Trainer, progress: Progress, plan: Plan, samples: SampleWriter
    ) -> None:
        self.record = record
        self.trainer = trainer
        self.progress = progress
        self.plan = plan
        self._samples = samples
        self._saved_at = time.monotonic()
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
            if saved is not None:
                yield saved

    def _record(self, event: Event, notes: list[Note]) -> Saved | None:
        if isinstance(event, EpochEnd):
            with span("records"):
                self.record.history_writer.append(self.progress.row)
        if isinstance(event, (BatchEnd, EpochEnd)) and event.records:
            with span("records"):
                notes += filter(None, map(self._write, event.records))
        if isinstance(event, EpochEnd):
            return self._epoch_end(event)
        if isinstance(event, BatchEnd) and event.slots:
            return self.save(f"kept as {', '.join(event.slots)}", slots=event.slots)
        if isinstance(event, BatchEnd) and time.monotonic() - self._saved_at > BATCH_SECONDS:
            return self.save("five minutes have passed")
        return None

    def _epoch_end(self, event: EpochEnd) -> Saved | None:
        last = event.epoch >= self.plan.epochs or self.progress.stopped is not None
        if event.slots:
            return self.save(f"kept as {', '.join(event.slots)}", slots=event.slots)
        if last:
            return self.save("the last epoch")
        wait = EPOCH_SECONDS if self.record.checkpoints.steps() else min(FIRST_SECONDS, EPOCH_SECONDS)
        if time.monotonic() - self._saved_at > wait:
            return self.save("an epoch's end")
        return None

    def save(self, reason: str, *, slots: tuple[str, ...] = ()) -> Saved:
        """Write a checkpoint of the training's current state. Raises TrainingStopped if a value is NaN or infinite."""
        refuse_bad_step(self.trainer, self.plan.steps, self.progress.epoch + 1)
        refuse_bad_weights(self.trainer, self.progress)
        with span("checkpoints"):
            for file in self._logs:
                self.record.sync_log(file)
            history = self.record.history_writer.synced_prefix()
            tensors, facts = capture(self.trainer, self.progress, history)
            self.record.checkpoints.save(self.progress.step, {TRAINING: tensor_pieces(tensors)}, facts, slots=slots)
        self._saved_at = time.monotonic()
        return Saved(f"step {self.progress.step}", self.progress.epoch, self.progress.batch, reason)

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


def newest(record: RunRecord) -> tuple[Checkpoint | None, list[Note]]:
    """Return the newest intact checkpoint of a run, or None if it has none yet; and notes on damaged ones."""
    if not record.checkpoints.steps():
        return None, [Note("no checkpoint was written yet: starting from the beginning")]
    checkpoint = record.checkpoints.newest()
    further = [text for text in record.checkpoints.doubts() if not any(w.startswith(text) for w in checkpoint.warnings)]
    notes = [Note(text, "warning") for text in (*checkpoint.warnings, *further)]
    if TRAINING not in checkpoint.blobs:
        raise FileRefused(f"the checkpoint of step {checkpoint.step} has no training state")
    return checkpoint, notes


def restore(checkpoint: Checkpoint, trainer: Trainer, callbacks: Sequence[Callback]) -> Progress:
    """Load a checkpoint into a trainer; return the training's progress. Raises FileRefused if it does not fit."""
    return reinstate(trainer, load_tensors(checkpoint.blobs[TRAINING]), checkpoint.facts, callbacks)
