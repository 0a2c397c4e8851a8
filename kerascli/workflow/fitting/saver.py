"""Save the state of a training to checkpoints: when, and which process writes what."""

import time

from kerascli.disk.pieces import Pieces
from kerascli.events import BatchEnd, EpochEnd, Event, Saved
from kerascli.runs.checkpoint_manifest import BlobFile
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.history_writer import Prefix
from kerascli.spans import span
from kerascli.training.checkpoint import capture
from kerascli.training.checkpoint_files import TRAINING, in_ranges, part_file
from kerascli.training.distributed.processes import ALONE, Processes, Wish
from kerascli.training.finite import refuse_bad_step, refuse_bad_weights
from kerascli.training.loop import Plan
from kerascli.training.progress import Progress
from kerascli.training.step import Trainer
from kerascli.training.tensor_file import tensor_pieces

FIRST_SECONDS = 1.0
"""Minimum seconds since the start of training for the first checkpoint at the end of an epoch."""
EPOCH_SECONDS = 10.0
"""Minimum seconds since the last checkpoint for a new one at the end of an epoch."""
BATCH_SECONDS = 300.0
"""Minimum seconds since the last checkpoint for a new one within an epoch."""


class Saver:
    """Saves checkpoints of a training.

    If FSDP divides the weights, each process has a saver and writes its parts of them; process 0 writes the rest, and
    decides by its clock when to save, which the others learn with the sums of a step.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        trainer: Trainer,
        progress: Progress,
        plan: Plan,
        processes: Processes = ALONE,
    ) -> None:
        self.trainer = trainer
        self.progress = progress
        self.plan = plan
        self._checkpoints = checkpoints
        self._processes = processes
        self._ranges = trainer.ranges()
        self._saved_at = time.monotonic()
        self._has_saved = bool(checkpoints.steps())
        if self._ranges and processes.world.leads:
            processes.wish = self._wish

    def due(self, event: Event) -> tuple[str, tuple[str, ...]] | None:
        """Return why, and under which names, the state at an event is to be saved; None: not now."""
        if not isinstance(event, (BatchEnd, EpochEnd)):
            return None
        if event.slots:
            return f"kept as {', '.join(event.slots)}", event.slots
        wish = self._processes.common_wish if self._ranges else self._wish()
        if isinstance(event, BatchEnd):
            return ("five minutes have passed", ()) if wish == Wish.NOW else None
        if event.epoch >= self.plan.epochs or self.progress.stopped is not None:
            return "the last epoch", ()
        return ("an epoch's end", ()) if wish >= Wish.AT_EPOCH_END else None

    def _wish(self) -> Wish:
        """Return when a checkpoint is due by the clock."""
        waited = time.monotonic() - self._saved_at
        if waited > BATCH_SECONDS:
            return Wish.NOW
        wait = EPOCH_SECONDS if self._has_saved else min(FIRST_SECONDS, EPOCH_SECONDS)
        return Wish.AT_EPOCH_END if waited > wait else Wish.NONE

    def refuse_bad(self) -> None:
        """Raise TrainingStopped if the state is not to be saved, since a loss, gradient or weight is not finite."""
        refuse_bad_step(self.trainer, self.plan.steps, self.progress.epoch + 1)
        refuse_bad_weights(self.trainer, self.progress)

    def save(self, reason: str, history: Prefix, *, slots: tuple[str, ...] = ()) -> Saved:
        """Save the present state, which has passed `refuse_bad`, with the part of history.csv that belongs to it."""
        step = self.progress.step
        with span("checkpoints"):
            tensors, facts = capture(self.trainer, self.progress, history)
            common, parts = in_ranges(tensors, self._ranges)
            written = self._write_parts(step, tensor_pieces(parts)) if self._ranges else {}
            if self._processes.world.leads:
                blobs = {TRAINING: tensor_pieces(common)}
                self._checkpoints.save(step, blobs, facts, slots=slots, written=written)
        self._saved_at, self._has_saved = time.monotonic(), True
        self._processes.wish_is_met()
        return Saved(f"step {step}", self.progress.epoch, self.progress.batch, reason)

    def _write_parts(self, step: int, parts: Pieces) -> dict[str, BlobFile]:
        """Write this process's parts of the weights; return the files of all processes when all are written."""
        world = self._processes.world
        own = self._checkpoints.write_file(step, part_file(world.rank, world.size), parts)
        files = self._processes.exchange([own.bytes, own.sha256])
        return {
            part_file(rank, world.size): BlobFile(bytes=size, sha256=digest)
            for rank, (size, digest) in enumerate(files)
        }
