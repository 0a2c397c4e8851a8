"""BackupAndRestore: here a checkpoint at fixed times; to go on from one is `train --resume`, with or without this."""

from typing import Literal

from kerascli.callbacks.base import Callback, Decision, EpochFacts, SaveSlot, State, callback
from kerascli.shapes import PositiveInt

_SLOT = "backup"


@callback()
class BackupAndRestore(Callback):
    """Saves after every epoch, or after every `save_freq` batches, under `backup`.

    Every run saves itself now and then and goes on exactly where it was with `train --resume`; with this it is known
    when.
    """

    refused = {  # noqa: RUF012
        "backup_dir": "a run keeps its backup in its own folder",
        "delete_checkpoint": "a run keeps its last checkpoints, to be extended later",
    }

    save_freq: Literal["epoch"] | PositiveInt = "epoch"
    """epoch, or every how many batches."""
    double_checkpoint: bool = False
    """Makes no difference: the last two checkpoints are always kept, and the newest that is whole is used."""

    def claims(self) -> tuple[str, ...]:
        return (f"the checkpoint '{_SLOT}'",)

    def batch_period(self) -> int | None:
        return None if self.save_freq == "epoch" else self.save_freq

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        return [SaveSlot(_SLOT, to_disk=True)] if self.save_freq == "epoch" else [], state

    def batch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        return [SaveSlot(_SLOT, to_disk=True)], state
