"""BackupAndRestore: saves checkpoints at fixed times. `train --resume` needs a checkpoint, but not this callback."""

from typing import Literal

from kerascli.callbacks.base import Callback, EpochFacts, Response, SaveSlot, State, callback
from kerascli.foundation.shapes import PositiveInt

_SLOT = "backup"


@callback()
class BackupAndRestore(Callback):
    """Save a checkpoint named `backup` after every epoch, or after every `save_freq` batches.

    Every run saves checkpoints from time to time, from which `train --resume` continues exactly; this callback only
    fixes the times.
    """

    refused = {  # noqa: RUF012
        "backup_dir": "a run keeps its backup in its own folder",
        "delete_checkpoint": "a run keeps its last checkpoints, to be extended later",
    }

    save_freq: Literal["epoch"] | PositiveInt = "epoch"
    """Frequency of saving: `epoch`, at the end of each epoch, or a number of batches."""
    double_checkpoint: bool = False
    """No effect: the last two checkpoints are always kept, and the newest complete one is used."""

    def claims(self) -> tuple[str, ...]:
        return (f"the checkpoint '{_SLOT}'",)

    def batch_period(self) -> int | None:
        return None if self.save_freq == "epoch" else self.save_freq

    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        return [SaveSlot(_SLOT, to_disk=True)] if self.save_freq == "epoch" else [], state

    def batch_end(self, facts: EpochFacts, state: State) -> Response:
        return [SaveSlot(_SLOT, to_disk=True)], state
