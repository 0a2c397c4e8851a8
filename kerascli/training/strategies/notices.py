"""What the processes of a training tell each other with the sums of a step: signals, and requests to save."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import torch
from torch import Tensor

from kerascli.foundation.interrupts import Signals

_SIGNALS, _REQUESTS = 256, 4
"""Numbers above that of every signal, and of every request."""
_STEPS_AHEAD = 4
"""Number of steps that a GPU's queue may hold before its processes wait for the oldest one's notices."""


class CheckpointRequest(IntEnum):
    """When process 0 wants all processes to save a checkpoint, by its clock."""

    NONE = 0
    AT_EPOCH_END = 1
    NOW = 2


@dataclass(slots=True)
class Notices:
    """What this process tells the others, and what all of them know after the same training step or batch."""

    size: int = 1
    """Number of processes."""
    signals: Signals = field(default_factory=Signals)
    """Signals that this process has received."""
    request: CheckpointRequest = CheckpointRequest.NONE
    """When this process wants a checkpoint to be saved."""
    has_written: bool = False
    """True if this process has written its part of a checkpoint that is being saved."""
    common_request: CheckpointRequest = CheckpointRequest.NONE
    all_have_written: bool = False
    _known_signal: int | None = None
    _unread: deque[tuple[Tensor, torch.cuda.Event]] = field(default_factory=deque)

    @property
    def common_signal(self) -> int | None:
        """Number of a signal that all processes know of after the same step or batch, or None."""
        return self.signals.number if self.size == 1 else self._known_signal

    @property
    def own(self) -> int:
        """What this process tells the others, as one number."""
        return (self.signals.number or 0) + _SIGNALS * (self.request + _REQUESTS * self.has_written)

    def keep(self, numbers: Tensor) -> None:
        """Remember what all processes tell, which came with a step's sums.

        On CUDA it is read some steps later, when the device has it: to read at once would wait for it.
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
        """Remember the first signal, the most urgent request, and if all have written, of the number that each tells.

        All processes give the same numbers to this method, in the same order.
        """
        told = [int(number) for number in numbers]
        self._known_signal = next((number % _SIGNALS for number in told if number % _SIGNALS), None)
        self.common_request = CheckpointRequest(max(number // _SIGNALS % _REQUESTS for number in told))
        self.all_have_written = all(number // (_SIGNALS * _REQUESTS) for number in told)

    def forget_checkpoint(self) -> None:
        """Forget what was told about a checkpoint, which all processes have begun or finished to save."""
        self.request = self.common_request = CheckpointRequest.NONE
        self.has_written = self.all_have_written = False
        self._unread.clear()
