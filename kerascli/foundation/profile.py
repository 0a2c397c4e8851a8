"""Event with the profile of a training run, by kind of work and by layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Phase:
    """Kind of work (data, forward ...) in the profile of a training run: median time per step or epoch with it, and its
    share."""

    name: str
    milliseconds: float
    per: Literal["step", "epoch"]
    times: int
    """Number of steps (or epochs) in which work of the profiled kind (such as data loading) occurred."""
    of: int
    """Number of steps (or epochs) of the training run that were timed."""
    share: float


@dataclass(frozen=True, slots=True)
class LayerTime:
    """Time per step of one layer's operations in a profile, and its share of the time of all layers."""

    name: str
    forward_milliseconds: float
    backward_milliseconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Profiled:
    """Event: the profile of a training run, by kind of work and by layer."""

    tier: str
    """Execution mode of the profiled training steps: compiled, traced or eager."""
    steps: int
    """Number of training steps that ran."""
    counted: int
    """Number of training steps that were timed: all but the first and those slowed by torch's profiler."""
    step_milliseconds: float
    once: Mapping[str, float]
    """Mapping from each kind of one-time work (such as compilation) to its seconds, which the shares of the time leave
    out."""
    phases: tuple[Phase, ...]
    layers: tuple[LayerTime, ...]
    """Layers of the model that take the most time."""
    layers_in: str
    """Description of the steps in which layers were timed: training steps, or earlier steps that ran layer by layer."""
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    """Remarks on what the profile could not measure, and on its limits."""
    files: tuple[str, ...] = ()
