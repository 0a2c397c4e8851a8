"""Save the state of a training to checkpoints, and restore it: when, and which process writes what."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from kerascli.callbacks.base import Callback
from kerascli.foundation.errors import FileRefused, StorageError
from kerascli.foundation.events import BatchEnd, EpochEnd, Event, Note, Saved
from kerascli.foundation.spans import span
from kerascli.runs.checkpoint_manifest import BlobFile, blob_file
from kerascli.runs.checkpoints import Checkpoint, Checkpoints
from kerascli.runs.history import Prefix
from kerascli.runs.record import RunRecord
from kerascli.training.checkpoint import capture, reinstate
from kerascli.training.checkpoint_files import (
    TRAINING,
    Range,
    in_ranges,
    needed_files,
    part_file,
    training_tensors,
)
from kerascli.training.finite import refuse_bad_step, refuse_bad_weights
from kerascli.training.loop import Plan
from kerascli.training.progress import Progress
from kerascli.training.step import Trainer
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.notices import CheckpointRequest
from kerascli.training.tensor_file import tensor_pieces

FIRST_SECONDS = 1.0
"""Minimum seconds since the start of training for the first checkpoint at the end of an epoch."""
EPOCH_SECONDS = 10.0
"""Minimum seconds since the last checkpoint for a new one at the end of an epoch."""
BATCH_SECONDS = 300.0
"""Minimum seconds since the last checkpoint for a new one within an epoch."""
_SECONDS_TO_ANSWER = 0.5
"""Time between two answers to the others of a process that still writes; the shortest --timeout is longer."""
_SECONDS_TO_SEE = 10.0
"""Time after which a file must be seen that another machine has written; network file systems keep old listings."""


class Saver:
    """Saves checkpoints of a training.

    If FSDP divides the weights, each process writes its parts of them; else process 0 writes all, and the others
    nothing. Process 0 decides by its clock when to save, which the others learn with the sums of a step.
    """

    def __init__(
        self, checkpoints: Checkpoints, trainer: Trainer, progress: Progress, plan: Plan, group: Group
    ) -> None:
        self.trainer = trainer
        self.progress = progress
        self.plan = plan
        self._checkpoints = checkpoints
        self._group = group
        ranges = trainer.ranges()
        self._parts = PartWriter(checkpoints, ranges, group) if ranges else None
        self._writes = bool(ranges) or group.world.leads
        self._saved_at = time.monotonic()
        self._has_saved = bool(checkpoints.steps())

    def record(self, event: Event, history: Callable[[], Prefix]) -> list[Saved]:
        """Save the state at an event if it is time to; return the events of checkpoints that are complete now.

        `history` returns the part of history.csv that belongs to the state. Raises TrainingStopped if a value is NaN
        or infinite.
        """
        if not self._writes:
            return []
        done = [] if self._parts is None else self._parts.finished(wait=False)
        if (due := self._due(event)) is not None:
            done += self.save(*due, history=history, wait=self._is_last(event))
        if self._group.world.leads:
            self._group.notices.request = self._request()
        return done

    def save(
        self, reason: str, slots: tuple[str, ...] = (), *, history: Callable[[], Prefix], wait: bool
    ) -> list[Saved]:
        """Save the present state, also under the names `slots`; return the events of checkpoints that are complete now.

        Parts of divided weights are written while the training goes on, unless `wait` is true. Raises TrainingStopped
        if a value is NaN or infinite.
        """
        if not self._writes:
            return []
        progress = self.progress
        refuse_bad_step(self.trainer, self.plan.steps, progress.epoch + 1)
        refuse_bad_weights(self.trainer, progress)
        with span("checkpoints"):
            done = [] if self._parts is None else self._parts.finished(wait=True)
            tensors, facts = capture(self.trainer, progress, history())
            saved = Saved(f"step {progress.step}", progress.epoch, progress.batch, reason)
            if self._parts is None:
                self._checkpoints.save(progress.step, {TRAINING: tensor_pieces(tensors)}, facts, slots=slots)
                done.append(saved)
            else:
                self._parts.begin(Begun(saved, tensors, facts, slots))
                done += self._parts.finished(wait=True) if wait else []
        self._saved_at, self._has_saved = time.monotonic(), True
        return done

    def _due(self, event: Event) -> tuple[str, tuple[str, ...]] | None:
        """Return why, and under which names, the state at an event is to be saved; None: not now."""
        if not isinstance(event, (BatchEnd, EpochEnd)):
            return None
        if event.slots:
            return f"kept as {', '.join(event.slots)}", event.slots
        if self._is_last(event):
            return "the last epoch", ()
        request = self._group.notices.common_request if self._parts is not None else self._request()
        if isinstance(event, BatchEnd):
            return ("five minutes have passed", ()) if request == CheckpointRequest.NOW else None
        return ("an epoch's end", ()) if request >= CheckpointRequest.AT_EPOCH_END else None

    def _is_last(self, event: Event) -> bool:
        """Return True at the end of the last epoch."""
        return isinstance(event, EpochEnd) and (event.epoch >= self.plan.epochs or self.progress.stopped is not None)

    def _request(self) -> CheckpointRequest:
        """Return when a checkpoint is due by the clock."""
        waited = time.monotonic() - self._saved_at
        if waited > BATCH_SECONDS:
            return CheckpointRequest.NOW
        wait = EPOCH_SECONDS if self._has_saved else min(FIRST_SECONDS, EPOCH_SECONDS)
        return CheckpointRequest.AT_EPOCH_END if waited > wait else CheckpointRequest.NONE


@dataclass(frozen=True, slots=True)
class Begun:
    """Checkpoint to write: the event that reports it, its tensors and facts, and the names that it is kept under."""

    saved: Saved
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    slots: tuple[str, ...]


class PartWriter:
    """Writes this process's part of a checkpoint in a thread; process 0 completes it when all have written theirs.

    That all have, they learn with the sums of a training step. A checkpoint exists when its manifest does: one that is
    interrupted harms no earlier one.
    """

    def __init__(self, checkpoints: Checkpoints, ranges: Mapping[str, Range], group: Group) -> None:
        """`ranges` are what this process holds of the state's tensors that are divided, by name."""
        self._checkpoints = checkpoints
        self._ranges = ranges
        self._group = group
        self._begun: Begun | None = None
        self._written: futures.Future[BlobFile] | None = None

    def begin(self, checkpoint: Begun) -> None:
        """Begin to write this process's part of a copy of the state, which may change meanwhile."""
        assert self._begun is None, "one checkpoint is written at a time"
        common, parts = in_ranges(checkpoint.tensors, self._ranges)
        common = _copied(common) if self._group.world.leads else {}
        self._begun = Begun(checkpoint.saved, common, copy.deepcopy(dict(checkpoint.facts)), checkpoint.slots)
        world, step = self._group.world, int(checkpoint.facts["step"])
        name, contents = part_file(world.rank, world.size), tensor_pieces(_copied(parts))
        notices = self._group.notices
        notices.forget_checkpoint()
        writer = futures.ThreadPoolExecutor(1, "checkpoint")
        self._written = writer.submit(self._checkpoints.write_file, step, name, contents)

        def tell(_: object) -> None:
            notices.has_written = True

        self._written.add_done_callback(tell)
        writer.shutdown(wait=False)  # the thread ends with its work

    def finished(self, *, wait: bool) -> list[Saved]:
        """Complete the checkpoint if all processes have written their parts, or with `wait`; return its event, if any.

        All processes must call it after the same training step. Raises StorageError if this one could not write.
        """
        if self._begun is None or not (wait or self._group.notices.all_have_written):
            return []
        world, step = self._group.world, int(self._begun.facts["step"])
        written = {part_file(rank, world.size): file for rank, file in enumerate(self._files_of_all())}
        if world.leads:
            self._refuse_unseen(step, written)
            blobs = {TRAINING: tensor_pieces(self._begun.tensors)}
            self._checkpoints.save(step, blobs, self._begun.facts, slots=self._begun.slots, written=written)
        self._group.agree(None)  # process 0 removes files that no manifest names: none is written before that
        self._group.notices.forget_checkpoint()
        saved, self._begun, self._written = self._begun.saved, None, None
        return [saved]

    def _files_of_all(self) -> list[BlobFile]:
        """Wait until all processes have written their parts; return the size and SHA-256 of each.

        A process whose disk is slow says again and again that it is alive: none counts as lost while it writes.
        """
        assert self._written is not None
        while True:
            futures.wait([self._written], _SECONDS_TO_ANSWER)
            own = self._written.result() if self._written.done() else None
            files = self._group.agree(None if own is None else [own.bytes, own.sha256])
            if None not in files:
                return [BlobFile(bytes=size, sha256=digest) for size, digest in files]

    def _refuse_unseen(self, step: int, files: Mapping[str, BlobFile]) -> None:
        """Raise StorageError if this process does not see the files that others have written."""
        paths = [self._checkpoints.folder / blob_file(step, name, file.sha256) for name, file in files.items()]
        until = time.monotonic() + _SECONDS_TO_SEE
        while not all(path.is_file() for path in paths):
            if time.monotonic() > until:
                unseen = next(path for path in paths if not path.is_file())
                hint = "each process writes a part: put the run on a file system that all machines share"
                raise StorageError(f"process 0 does not see '{unseen}', which another process has written", hint=hint)
            time.sleep(0.1)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def newest(record: RunRecord, group: Group, part: str | None = None) -> tuple[Checkpoint | None, list[Note]]:
    """Return the newest intact checkpoint of a run, or None if it has none yet; and notes on damaged ones.

    Of several processes, it is the newest one that is intact for all. `part` is the name of the file with this
    process's parts of weights, if each reads its own.
    """
    are_there = group.agree(bool(record.checkpoints.steps()))
    if not any(are_there):
        return None, [Note("no checkpoint was written yet: starting from the beginning")]
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


def restore(
    checkpoint: Checkpoint, trainer: Trainer, callbacks: Sequence[Callback], part: str | None = None
) -> Progress:
    """Load a checkpoint into a trainer; return the training's progress. Raises FileRefused if it does not fit.

    `part` is the name of the file that this process has written, if it is one of several with parts of the weights.
    """
    tensors = training_tensors(checkpoint.blobs, trainer.ranges(), part)
    return reinstate(trainer, tensors, checkpoint.facts, callbacks)
