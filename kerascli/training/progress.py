"""Progress of a training run (epochs, steps, callback states ...), as checkpoints save it for an exact resume.

An exact resume needs only the progress, the weights and the optimizer's state.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(slots=True)
class Progress:
    """Counters and callback states of a training run, changed only by the training loop; consistent at every event."""

    epoch: int = 0
    """Number of finished epochs of the training run."""
    batch: int = 0
    """Number of finished batches of the current epoch."""
    step: int = 0
    """Number of finished training steps, over all epochs."""
    states: list[Tensor] | None = None
    """States (sums) of the metrics in the current epoch, over its batches so far."""
    seconds: float = 0.0
    """Duration of the current epoch so far, in seconds, for a run that is resumed within the epoch."""
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    """States of the run's callbacks, in the order of the `callbacks` list."""
    row: dict[str, float] = field(default_factory=dict)
    """Row of history.csv for the last finished epoch, as a mapping from column to value."""
    slots: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """Copies of the model's weights that callbacks keep, by name (such as `best`); in Keras's layout, on the CPU."""
    pending_messages: list[str] = field(default_factory=list)
    """Messages from callbacks since the start of the current epoch, to print at its end."""
    stopped: str | None = None
    """Reason why a callback stopped training; None if none did."""
    phase: int = 0
    """Index (from 0) of the current training phase."""
    first: int = 0
    """Number of epochs that were finished when the current training phase began."""
