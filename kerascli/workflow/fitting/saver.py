"""Save the state of a training run to checkpoints, and restore it; decide when to save."""

import shlex
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError, FileRefused, Interrupted
from kerascli.foundation.events import BatchEnd, EpochEnd, Event, Note, Saved
from kerascli.foundation.spans import span
from kerascli.runs.checkpoints import Checkpoint, Checkpoints
from kerascli.runs.history import Prefix
from kerascli.runs.record import RunRecord
from kerascli.training.build import Experiment
from kerascli.training.checkpoint import capture, checkpoint_facts, reinstate, saved_weights
from kerascli.training.checkpoint_files import TRAINING, needed_files, part_file, training_tensors
from kerascli.training.step import Progress, assign_weights
from kerascli.training.strategies.fsdp import strategy_of
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.members import compare_epoch
from kerascli.training.strategies.notices import CheckpointRequest
from kerascli.training.tensor_file import tensor_pieces
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.part_writer import PartWriter
from kerascli.workflow.fitting.phases import Fill, Phase, PhaseRunner

FIRST_SECONDS = 1.0
"""Minimum seconds since the start of training for the first checkpoint at the end of an epoch."""
EPOCH_SECONDS = 10.0
"""Minimum seconds since the last checkpoint for a new one at the end of an epoch."""
BATCH_SECONDS = 300.0
"""Minimum seconds since the last checkpoint for a new one within an epoch."""


class Saver:
    """Consumer of training events that writes the checkpoints of a run, and decides when one is due.

    If FSDP divides the weights, each process writes its parts of them; else process 0 writes everything, and the others
    nothing. Process 0 decides by its clock when to save; it sends the decision with the all-reduce of a training step.
    On process 0 it is a Recorder, which records all else of the run, too.
    """

    def __init__(self, runner: PhaseRunner, checkpoints: Checkpoints) -> None:
        """Initialize, for the current phase of `runner`."""
        self.trainer = runner.state.trainer
        self.progress = runner.reached
        self._plan = runner.state.plan
        self._checkpoints = checkpoints
        self._group = runner.group
        ranges = self.trainer.ranges()
        self._parts = PartWriter(checkpoints, ranges, self._group) if ranges else None
        self._writes = bool(ranges) or self._group.world.leads
        self._saved_at = time.monotonic()
        self._has_saved = bool(checkpoints.steps())

    def follow(self, events: Iterator[Event]) -> Iterator[Event]:
        """Yield each event of a training run once it is recorded, and a `Saved` event after each checkpoint.

        After each epoch, each process is compared with others, and signals are exchanged. Raises TrainingStopped if the
        weights or decisions of callbacks of one process differ from those of another.
        """
        for event in events:
            if isinstance(event, EpochEnd):
                rates = self.trainer.optimizers.learning_rates.values()
                decisions = [self.progress.stopped is not None, list(event.slots), list(rates)]
                compare_epoch(self._group, self.trainer.weights, decisions, event.epoch)
            reports = self.record(event)
            yield event
            yield from reports

    def record(self, event: Event) -> Sequence[Event]:
        """Save the training state if a checkpoint is due at an event; return the events of checkpoints now complete.

        Raises TrainingStopped if a value is NaN or infinite.
        """
        if not self._writes:
            return []
        done = [] if self._parts is None else self._parts.finished(wait=False)
        if (due := self._due(event)) is not None:
            done += self.save(*due, wait=self.is_last(event))
        if self._group.world.leads:
            self._group.notices.request = self._request()
        return done

    def save(self, reason: str, slots: tuple[str, ...] = (), *, wait: bool) -> list[Saved]:
        """Save the training state as a checkpoint, and return an event for each checkpoint that is now complete.

        The checkpoint is also saved under each name in `slots` (such as `best`) in the run's folder. `reason` is the
        text in the event that says why it was saved. If FSDP divides the weights, each process writes its part while
        training continues, and a later call returns the event, unless `wait` is true. A process that writes nothing
        returns []. Raises TrainingStopped if a value is NaN or infinite.
        """
        if not self._writes:
            return []
        progress = self.progress
        self.trainer.refuse_bad_step(self._plan.steps, progress.epoch + 1)
        self.trainer.refuse_bad_weights(progress)
        with span("checkpoints"):
            done = [] if self._parts is None else self._parts.finished(wait=True)
            tensors, facts = capture(self.trainer, progress, self._history())
            saved = Saved(f"step {progress.step}", progress.epoch, progress.batch, reason)
            if self._parts is None:
                self._checkpoints.save(progress.step, {TRAINING: tensor_pieces(tensors)}, facts, slots=slots)
                done.append(saved)
            else:
                self._parts.begin(saved, tensors, facts, slots)
                done += self._parts.finished(wait=True) if wait else []
        self._saved_at, self._has_saved = time.monotonic(), True
        return done

    def _history(self) -> Prefix:
        """Return the length and checksum of the part of history.csv that is written and synchronized with the disk."""
        return Prefix()

    def _due(self, event: Event) -> tuple[str, tuple[str, ...]] | None:
        """Return (reason, names to save under) if a checkpoint is due at an event; None if none is due."""
        if not isinstance(event, (BatchEnd, EpochEnd)):
            return None
        if event.slots:
            return f"kept as {', '.join(event.slots)}", event.slots
        if self.is_last(event):
            return "the last epoch", ()
        request = self._group.notices.common_request if self._parts is not None else self._request()
        if isinstance(event, BatchEnd):
            return ("five minutes have passed", ()) if request == CheckpointRequest.NOW else None
        return ("an epoch's end", ()) if request >= CheckpointRequest.AT_EPOCH_END else None

    def is_last(self, event: Event) -> bool:
        """Return True at the end of the last epoch of the phase."""
        return isinstance(event, EpochEnd) and (event.epoch >= self._plan.epochs or self.progress.stopped is not None)

    def _request(self) -> CheckpointRequest:
        """Return the request for a checkpoint that is due by the clock: none, at an epoch's end, or now."""
        waited = time.monotonic() - self._saved_at
        if waited > BATCH_SECONDS:
            return CheckpointRequest.NOW
        wait = EPOCH_SECONDS if self._has_saved else min(FIRST_SECONDS, EPOCH_SECONDS)
        return CheckpointRequest.AT_EPOCH_END if waited > wait else CheckpointRequest.NONE


def interrupted_error(text: str, run: Path, number: int) -> Interrupted:
    """Return the error of a training run that a signal has ended, with the command that resumes it.

    `text` is the error's message, `run` the folder of the run, `number` the number of the signal.
    """
    command = shlex.join(["kerascli", "train", "--resume", str(run)])
    return Interrupted(text, signal_number=number, hint=f"resume with: {command}")


def _newest(record: RunRecord, group: Group, part: str | None) -> tuple[Checkpoint | None, list[Note]]:
    """Return (newest intact checkpoint of a run, notes to print); the checkpoint is None if the run has none.

    The notes report damaged checkpoints. With several processes, the checkpoint is the newest one that is intact on all
    of them. `part` is the name of this process's file of parts, if each process reads its own. Raises FileRefused.
    """
    are_there = group.agree(bool(record.checkpoints.steps()))
    if not any(are_there):
        return None, [Note("there is no checkpoint: starting from the beginning")]
    if not all(are_there):
        hint = "put the run on a file system that all machines share, or copy it to all"
        raise FileRefused(f"process {are_there.index(False)} does not see the checkpoints of the run", hint=hint)
    needed = None if part is None else partial(needed_files, part=part)
    checkpoint = record.checkpoints.newest(needed)
    while len(steps := set(group.agree(checkpoint.step))) > 1:
        checkpoint = record.checkpoints.newest(needed, up_to=min(steps))
    further = [text for text in record.checkpoints.doubts() if not any(w.startswith(text) for w in checkpoint.warnings)]
    notes = [Note(text, "warning") for text in (*checkpoint.warnings, *further)]
    if TRAINING not in checkpoint.blobs:
        raise FileRefused(f"the checkpoint of step {checkpoint.step} has no training state")
    return checkpoint, notes


def restored(
    record: RunRecord, phases: list[Phase], device: Choice, options: Options, mode: str | None, fill: Fill
) -> tuple[PhaseRunner, list[Note], Prefix]:
    """Return (PhaseRunner restored from the newest checkpoint, notes to print, history.csv up to the checkpoint).

    `mode` is the execution mode; None: as the config says. Without a checkpoint, `fill` sets the weights that the run
    begins with. Raises FileRefused if the checkpoint does not match the model, ConfigError if the run has been trained
    for more epochs than `fit.epochs`.
    """
    group, fit = options.group or Group(), phases[0].spec.fit
    part = part_file(group.world.rank, group.world.size) if strategy_of(group, fit.distribute).is_divided else None
    checkpoint, notes = _newest(record, group, part)
    reached, history = Progress(epoch=fit.initial_epoch), Prefix()
    if checkpoint is not None:
        facts = checkpoint_facts(checkpoint.facts)
        reached.step, reached.phase, reached.first, history = checkpoint.step, facts.phase, facts.first, facts.history
        fill = partial(_fill_from, checkpoint, part)
    if reached.phase >= len(phases):
        text = f"a checkpoint of '{record.path}' is of phase {reached.phase + 1}, which the run does not have"
        raise FileRefused(text)
    runner = PhaseRunner(phases, device, options, reached, mode, fill)
    trainer, plan = runner.state.trainer, runner.state.plan
    if checkpoint is not None:
        tensors = training_tensors(checkpoint.blobs, trainer.ranges(), part)
        runner.reached = reached = reinstate(trainer, tensors, checkpoint.facts, plan.callbacks)
    if plan.epochs < reached.epoch + (reached.batch > 0):
        text = f"fit.epochs is {plan.epochs}, but the run has reached {reached.where}: it cannot be made shorter"
        raise ConfigError(text)
    return runner, notes, history


def _fill_from(checkpoint: Checkpoint, part: str | None, experiment: Experiment) -> None:
    """Set a model's weights to those of a checkpoint, unless FSDP divides them (`part`)."""
    if part is None:
        assign_weights(experiment.weights, saved_weights(training_tensors(checkpoint.blobs)))
