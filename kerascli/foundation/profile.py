"""Event with the profile of a training run, by kind of work and by layer."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """Kind of work (data, forward ...) in the profile of a training run: its time, and its share of the whole time."""

    name: str
    seconds: float
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
    """Number of training steps whose phases were timed: all but those that torch's profiler recorded."""
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
