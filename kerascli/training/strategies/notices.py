"""Notices (signals, requests to save a checkpoint) that processes exchange in the all-reduce of a training step."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import torch
from torch import Tensor

from kerascli.foundation.interrupts import Signals

_SIGNALS, _REQUESTS = 256, 4
"""Bases for encoding notices as one integer: a number above every signal, and a number above every request."""
_STEPS_AHEAD = 4
"""Number of training steps whose notices (signals, requests) may be unread on a GPU, before the process waits."""


class CheckpointRequest(IntEnum):
    """Request that all processes save a checkpoint; process 0 makes it at intervals of time."""

    NONE = 0
    """Save no checkpoint."""
    AT_EPOCH_END = 1
    """Save a checkpoint at the end of the current epoch."""
    NOW = 2
    """Save a checkpoint after the current training step."""


@dataclass(slots=True)
class Notices:
    """Notices (a signal, a request to save a checkpoint) of this process, and those common to all processes.

    The common notices are the same on all processes after the same training step or batch.
    """

    size: int = 1
    """Number of processes."""
    signals: Signals = field(default_factory=Signals)
    """Signals that this process has received."""
    request: CheckpointRequest = CheckpointRequest.NONE
    """Request of this process to save a checkpoint."""
    has_written: bool = False
    """True if this process has written its part of the checkpoint that is being saved."""
    common_request: CheckpointRequest = CheckpointRequest.NONE
    """Most urgent request of all processes to save a checkpoint."""
    all_have_written: bool = False
    """True if all processes have written their parts of the checkpoint that is being saved."""
    _common_signal: int | None = None
    _unread: deque[tuple[Tensor, torch.cuda.Event]] = field(default_factory=deque)

    @property
    def common_signal(self) -> int | None:
        """Number of the system's signal (such as SIGTERM) that some process received and all processes know of.

        The number is the same on all processes after the same training step or batch; None if no process received one
        before.
        """
        return self.signals.number if self.size == 1 else self._common_signal

    @property
    def own(self) -> int:
        """Integer that encodes the notices (signal, request to save ...) of this process for an all-reduce.

        They are the number of the signal it received (0: none), its request to save a checkpoint, and whether it
        has written its part of the checkpoint that is being saved.
        """
        return (self.signals.number or 0) + _SIGNALS * (self.request + _REQUESTS * self.has_written)

    def keep(self, numbers: Tensor) -> None:
        """Store the notices (signals, requests) of all processes: `numbers` (processes,) are integers as in `own`.

        The numbers are the result of an all-reduce. On CUDA they are copied asynchronously and read some training steps
        later: reading them at once would synchronize with the device.
        """
        if numbers.is_cpu:
            self.take(numbers.tolist())
            return
        arrived = torch.cuda.Event()
        self._unread.append((numbers.to("cpu", non_blocking=True), arrived))
        arrived.record()
        if len(self._unread) > _STEPS_AHEAD:
            oldest, arrived = self._unread.popleft()
            arrived.synchronize()
            self.take(oldest.tolist())

    def take(self, numbers: Iterable[float]) -> None:
        """Decode `numbers`, the notices of all processes as integers (see `own`), and store the common notices.

        The common notices are the signal of the first process that has one, the most urgent checkpoint request, and
        whether all processes have written their parts. All processes must pass the same integers, in the same order.
        """
        values = [int(number) for number in numbers]
        self._common_signal = next((number % _SIGNALS for number in values if number % _SIGNALS), None)
        self.common_request = CheckpointRequest(max(number // _SIGNALS % _REQUESTS for number in values))
        self.all_have_written = all(number // (_SIGNALS * _REQUESTS) for number in values)

    def forget_checkpoint(self) -> None:
        """Reset the notices of this class on a checkpoint, once all processes have started or finished to save it."""
        self.request = self.common_request = CheckpointRequest.NONE
        self.has_written = self.all_have_written = False
        self._unread.clear()
