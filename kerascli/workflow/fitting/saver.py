"""Save the training state to checkpoints, and restore it; determines when to save, and what each process writes."""

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
from kerascli.training.loop import Plan
from kerascli.training.step import Progress, Trainer
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
"""Interval in seconds at which a process that still writes answers the others; the shortest --timeout is longer."""
_SECONDS_TO_SEE = 10.0
"""Seconds until a file of another machine must be visible; network file systems cache the contents of folders."""


class Saver:
    """Writer of the checkpoints of a training run, which also determines when to save one.

    If FSDP divides the weights, each process writes its parts of them; else process 0 writes everything, and the others
    nothing. Process 0 decides by its clock when to save; it sends the decision with the all-reduce of a training step.
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
        """Save the state at an event if a checkpoint is due; return the events of checkpoints that are now complete.

        `history` returns the part of history.csv that belongs to the state. Raises TrainingStopped if a value is NaN or
        infinite.
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
        """Save the current state, also under the names `slots`; return the events of checkpoints that are now complete.

        Parts of divided weights are written while training continues, unless `wait` is true. Raises TrainingStopped if
        a value is NaN or infinite.
        """
        if not self._writes:
            return []
        progress = self.progress
        self.trainer.refuse_bad_step(self.plan.steps, progress.epoch + 1)
        self.trainer.refuse_bad_weights(progress)
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
        """Return (reason, names to save under) if a checkpoint is due at an event; None if none is due."""
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
        """Return the request for a checkpoint that is due by the clock: none, at an epoch's end, or now."""
        waited = time.monotonic() - self._saved_at
        if waited > BATCH_SECONDS:
            return CheckpointRequest.NOW
        wait = EPOCH_SECONDS if self._has_saved else min(FIRST_SECONDS, EPOCH_SECONDS)
        return CheckpointRequest.AT_EPOCH_END if waited > wait else CheckpointRequest.NONE


@dataclass(frozen=True, slots=True)
class Begun:
    """Checkpoint to write: the event that reports it, its tensors and facts, and the names under which it is kept."""

    saved: Saved
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    slots: tuple[str, ...]


class PartWriter:
    """Writer of this process's part of a checkpoint, in a thread; process 0 completes it when all parts are written.

    The processes are notified by the all-reduce of a training step that all parts are written. A checkpoint exists once
    its manifest does: an interrupted checkpoint does not damage earlier ones.
    """

    def __init__(self, checkpoints: Checkpoints, ranges: Mapping[str, Range], group: Group) -> None:
        """Initialize; `ranges` maps the name of each tensor that FSDP divides to the range that this process holds."""
        self._checkpoints = checkpoints
        self._ranges = ranges
        self._group = group
        self._begun: Begun | None = None
        self._written: futures.Future[BlobFile] | None = None

    def begin(self, checkpoint: Begun) -> None:
        """Start to write this process's part of a checkpoint, from a copy of the state, which may change meanwhile."""
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
        """Complete the checkpoint that was begun, once all processes have written their parts; return its event, else
        no event.

        With `wait`, wait for the parts. All processes must call it after the same training step. Raises StorageError if
        this process could not write its part.
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

        A process that is still writing reports at intervals that it is alive, so that it does not count as lost.
        """
        assert self._written is not None
        while True:
            futures.wait([self._written], _SECONDS_TO_ANSWER)
            own = self._written.result() if self._written.done() else None
            files = self._group.agree(None if own is None else [own.bytes, own.sha256])
            if None not in files:
                return [BlobFile(bytes=size, sha256=digest) for size, digest in files]

    def _refuse_unseen(self, step: int, files: Mapping[str, BlobFile]) -> None:
        """Raise StorageError if files that other processes have written are not visible to this process."""
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
    """Return (newest intact checkpoint of a run, notes to print); the checkpoint is None if the run has none yet.

    The notes report damaged checkpoints. With several processes, the checkpoint is the newest one that is intact on all
    of them. `part` is the name of this process's file of parts, if each process reads its own. Raises FileRefused.
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
    """Load a checkpoint into a trainer; return the progress of the training run.

    `part` is the name of this process's file of parts of the weights, if FSDP divides them; None: they are not divided.
    Raises FileRefused if the checkpoint does not match the model.
    """
    tensors = training_tensors(checkpoint.blobs, trainer.ranges(), part)
    return reinstate(trainer, tensors, checkpoint.facts, callbacks)
