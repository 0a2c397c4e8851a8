"""Write a checkpoint of which each process has a part, while the training goes on."""

import copy
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kerascli.events import Saved
from kerascli.runs.checkpoint_manifest import BlobFile
from kerascli.runs.checkpoints import Checkpoints
from kerascli.training.checkpoint_files import TRAINING, Range, in_ranges, part_file
from kerascli.training.distributed.processes import Processes
from kerascli.training.tensor_file import tensor_pieces


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

    def __init__(self, checkpoints: Checkpoints, ranges: Mapping[str, Range], processes: Processes) -> None:
        """`ranges` are what this process holds of the state's tensors that are divided, by name."""
        self._checkpoints = checkpoints
        self._ranges = ranges
        self._processes = processes
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._begun: Begun | None = None
        self._written: Future[BlobFile] | None = None
        processes.has_written = lambda: self._written is not None and self._written.done()

    def begin(self, checkpoint: Begun) -> None:
        """Copy the state, which the next step changes, and begin to write this process's part of it."""
        assert self._begun is None, "one checkpoint is written at a time"
        common, parts = in_ranges(checkpoint.tensors, self._ranges)
        common = _copied(common) if self._processes.world.leads else {}
        self._begun = Begun(checkpoint.saved, common, copy.deepcopy(dict(checkpoint.facts)), checkpoint.slots)
        world, step = self._processes.world, int(checkpoint.facts["step"])
        name, contents = part_file(world.rank, world.size), tensor_pieces(_copied(parts))
        self._written = self._thread.submit(self._checkpoints.write_file, step, name, contents)
        self._processes.forget_wishes()

    def finished(self, *, wait: bool) -> list[Saved]:
        """Complete the checkpoint if all processes have written their parts, or with `wait`; return its event, if any.

        All processes must call it after the same training step. Raises StorageError if this one could not write.
        """
        if self._begun is None or not (wait or self._processes.all_have_written):
            return []
        assert self._written is not None
        own, world, step = self._written.result(), self._processes.world, int(self._begun.facts["step"])
        files = self._processes.exchange([own.bytes, own.sha256])
        if world.leads:
            written = {
                part_file(rank, world.size): BlobFile(bytes=size, sha256=digest)
                for rank, (size, digest) in enumerate(files)
            }
            blobs = {TRAINING: tensor_pieces(self._begun.tensors)}
            self._checkpoints.save(step, blobs, self._begun.facts, slots=self._begun.slots, written=written)
        self._processes.exchange(None)  # process 0 removes files that no manifest names: none is written before that
        self._processes.forget_wishes()
        saved, self._begun, self._written = self._begun.saved, None, None
        return [saved]


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
