"""Write one process's part of a checkpoint in a thread, and complete the checkpoint when all parts are written."""

import copy
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from functools import partial
from typing import Any

from torch import Tensor

from kerascli.foundation.errors import StorageError
from kerascli.foundation.events import Saved
from kerascli.runs.checkpoint_manifest import BlobFile, blob_file
from kerascli.runs.checkpoints import Checkpoints
from kerascli.training.checkpoint_files import TRAINING, Range, in_ranges, part_file
from kerascli.training.strategies.group import Group
from kerascli.training.tensor_file import tensor_pieces

_SECONDS_TO_ANSWER = 0.5
"""Interval in seconds at which a process that still writes answers the others; the shortest --timeout is longer."""


_SECONDS_TO_SEE = 10.0
"""Seconds until a file of another machine must be visible; network file systems cache the contents of folders."""


class PartWriter:
    """Writer of a process's part of a checkpoint, in a thread; process 0 completes it when all parts are written.

    The processes are notified by the all-reduce of a training step that all parts are written. A checkpoint exists once
    its manifest does: an interrupted checkpoint does not damage earlier ones.
    """

    def __init__(self, checkpoints: Checkpoints, ranges: Mapping[str, Range], group: Group) -> None:
        """Initialize; `ranges` maps the name of each weight that FSDP divides to the range that this process holds."""
        self._checkpoints = checkpoints
        self._ranges = ranges
        self._group = group
        self._begun: tuple[Saved, int, Callable[..., None]] | None = None
        """Event of the checkpoint that is being written, its step, and the function that completes it."""
        self._written: futures.Future[BlobFile] | None = None

    def begin(
        self, saved: Saved, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], slots: tuple[str, ...]
    ) -> None:
        """Start to write this process's part of a checkpoint, from a copy of the state, which may then change.

        `saved` is the event that reports the checkpoint once it is complete; `tensors` and `facts` are the state, as
        `capture` returns it; `slots` are names, such as `best`, under which the checkpoint is also saved.
        """
        assert self._begun is None, "one checkpoint is written at a time"
        common, parts = in_ranges(tensors, self._ranges)
        world, notices, step = self._group.world, self._group.notices, int(facts["step"])
        blobs = {TRAINING: tensor_pieces(_copied(common) if world.leads else {})}
        complete = partial(self._checkpoints.save, step, blobs, copy.deepcopy(dict(facts)), slots=slots)
        self._begun = saved, step, complete
        name, contents = part_file(world.rank, world.size), tensor_pieces(_copied(parts))
        notices.forget_checkpoint()
        writer = futures.ThreadPoolExecutor(1, "checkpoint")
        self._written = writer.submit(self._checkpoints.write_file, step, name, contents)

        def tell(_: object) -> None:
            notices.has_written = True

        self._written.add_done_callback(tell)
        writer.shutdown(wait=False)  # the thread ends with its work

    def finished(self, *, wait: bool) -> list[Saved]:
        """Complete the checkpoint being written if all processes have written their parts; return its event, or [].

        With `wait`, wait for the parts. All processes must call the method after the same training step. Raises
        StorageError if this process could not write its part.
        """
        if self._begun is None or not (wait or self._group.notices.all_have_written):
            return []
        world, (saved, step, complete) = self._group.world, self._begun
        written = {part_file(rank, world.size): file for rank, file in enumerate(self._files_of_all())}
        if world.leads:
            self._refuse_unseen(step, written)
            complete(written=written)
        self._group.agree(None)  # process 0 removes files that no manifest names: none is written before that
        self._group.notices.forget_checkpoint()
        self._begun = self._written = None
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
