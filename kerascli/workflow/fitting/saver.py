"""Save the state of a training to checkpoints: when, and which process writes what."""

import time
from collections.abc import Callable

from kerascli.foundation.events import BatchEnd, EpochEnd, Event, Saved
from kerascli.foundation.spans import span
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.history import Prefix
from kerascli.training.checkpoint import capture
from kerascli.training.checkpoint_files import TRAINING
from kerascli.training.distributed.processes import ALONE, Processes, Wish
from kerascli.training.finite import refuse_bad_step, refuse_bad_weights
from kerascli.training.loop import Plan
from kerascli.training.progress import Progress
from kerascli.training.step import Trainer
from kerascli.training.tensor_file import tensor_pieces
from kerascli.workflow.fitting.part_writer import Begun, PartWriter

FIRST_SECONDS = 1.0
"""Minimum seconds since the start of training for the first checkpoint at the end of an epoch."""
EPOCH_SECONDS = 10.0
"""Minimum seconds since the last checkpoint for a new one at the end of an epoch."""
BATCH_SECONDS = 300.0
"""Minimum seconds since the last checkpoint for a new one within an epoch."""


class Saver:
    """Saves checkpoints of a training.

    If FSDP divides the weights, each process has a saver and writes its parts of them.
    Process 0 decides by its clock when to save, which the others learn with the sums of a step.
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
        ranges = trainer.ranges()
        self._parts = PartWriter(checkpoints, ranges, processes) if ranges else None
        self._saved_at = time.monotonic()
        self._has_saved = bool(checkpoints.steps())
        if ranges and processes.world.leads:
            processes.wish = self._wish

    def record(self, event: Event, history: Callable[[], Prefix]) -> list[Saved]:
        """Save the state at an event if it is time to; return the events of checkpoints that are complete now.

        `history` returns the part of history.csv that belongs to the state. Raises TrainingStopped if a value is NaN
        or infinite.
        """
        done = [] if self._parts is None else self._parts.finished(wait=False)
        if (due := self._due(event)) is not None:
            done += self.save(*due, history=history, wait=self._is_last(event))
        return done

    def save(
        self, reason: str, slots: tuple[str, ...] = (), *, history: Callable[[], Prefix], wait: bool
    ) -> list[Saved]:
        """Save the present state, also under the names `slots`; return the events of checkpoints that are complete now.

        Parts of divided weights are written while the training goes on, unless `wait` is true. Raises TrainingStopped
        if a value is NaN or infinite.
        """
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
        wish = self._processes.common_wish if self._parts is not None else self._wish()
        if isinstance(event, BatchEnd):
            return ("five minutes have passed", ()) if wish == Wish.NOW else None
        return ("an epoch's end", ()) if wish >= Wish.AT_EPOCH_END else None

    def _is_last(self, event: Event) -> bool:
        """Return True at the end of the last epoch."""
        return isinstance(event, EpochEnd) and (event.epoch >= self.plan.epochs or self.progress.stopped is not None)

    def _wish(self) -> Wish:
        """Return when a checkpoint is due by the clock."""
        waited = time.monotonic() - self._saved_at
        if waited > BATCH_SECONDS:
            return Wish.NOW
        wait = EPOCH_SECONDS if self._has_saved else min(FIRST_SECONDS, EPOCH_SECONDS)
        return Wish.AT_EPOCH_END if waited > wait else Wish.NONE
