"""Where training stands: all that a run needs to go on exactly, apart from weights and optimizer."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(slots=True)
class Progress:
    """Changed by the loop alone. Between two events it is always complete."""

    epoch: int = 0
    """Finished epochs."""
    batch: int = 0
    """Finished batches of the running epoch."""
    step: int = 0
    """Finished updates, over all epochs."""
    states: list[Tensor] | None = None
    """Added-up states of the running epoch's figures."""
    seconds: float = 0.0
    """Seconds that the running epoch has taken in earlier processes."""
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    """The callbacks' states, in their order."""
    row: dict[str, float] = field(default_factory=dict)
    """Row of the history for the last finished epoch."""
    slots: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """Weights kept under a name, in Keras's layout, on the CPU."""
    said: list[str] = field(default_factory=list)
    """What callbacks said when the running epoch began."""
    stopped: str | None = None
    """Why a callback stopped training."""
    phase: int = 0
    """Which phase of the fit runs, from 0."""
    first: int = 0
    """Epochs that were finished when it began."""
