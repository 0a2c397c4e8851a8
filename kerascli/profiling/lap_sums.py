"""Sum up the durations of laps (training steps, ends of epochs): median time and share of each phase (data ...)."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from kerascli.foundation.events import Phase
from kerascli.profiling.clock import Lap

REST = "everything else"

ORDER = (
    "data", "forward and backward", "forward", "backward", "optimizer", "metrics",
    "callbacks", "validation", "records", "checkpoints", "showing progress", REST,
)  # fmt: skip
"""Names of the phases of training (data, forward ...) in the order of reports; other phases come before `REST`, the
remaining time."""

_SAMPLES = 10_000
"""Maximum number of durations that are stored to compute a median, so that memory is bounded."""


@dataclass(slots=True)
class _Sum:
    times: int = 0
    seconds: float = 0.0
    samples: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, seconds: float) -> None:
        self.times += 1
        self.seconds += seconds
        if len(self.samples) < _SAMPLES:
            self.samples.append(seconds)


class LapSums:
    """Sums over many laps (training steps, or ends of epochs): their number, seconds, and seconds of each phase."""

    def __init__(self) -> None:
        self.laps = 0
        self._whole = _Sum()
        self._phases: dict[str, _Sum] = {}

    def add(self, lap: Lap) -> None:
        """Add a lap (a training step, or an epoch's end) with its duration and the duration of each phase (data,
        forward ...) in it."""
        self.laps += 1
        self._whole.add(lap.seconds)
        for name, seconds in lap.parts.items():
            self._phases.setdefault(name, _Sum()).add(seconds)
        self._phases.setdefault(REST, _Sum()).add(lap.seconds - sum(lap.parts.values()))

    @property
    def seconds(self) -> float:
        return self._whole.seconds

    @property
    def median_seconds(self) -> float:
        return median(self._whole.samples) if self.laps else 0.0

    def names(self) -> Iterator[str]:
        yield from self._phases

    def times(self, name: str) -> int:
        """Return the number of laps (training steps, or epochs' ends) in which a phase such as `data` occurred."""
        return self._phases[name].times if name in self._phases else 0

    def mean(self, name: str) -> float:
        """Return the mean seconds of a phase (`data` ...) per lap (training step); laps without it count as 0."""
        return self._phases[name].seconds / self.laps if name in self._phases else 0.0

    def median(self, name: str) -> float:
        """Return the median seconds of a phase (`data` ...) in those laps (training steps) that have it."""
        return median(self._phases[name].samples)


def phases(steps: LapSums, epochs: LapSums, steps_in_all: int) -> tuple[Phase, ...]:
    """Return the phases (`data` ...) of a profile, with their shares of the time of all training steps and ends of
    epochs.

    Work of both kinds (metrics are read in steps and at an epoch's end) is listed where most of it is done.
    """
    names = list(dict.fromkeys([*steps.names(), *epochs.names()]))
    seconds = {name: (steps.mean(name) * steps_in_all, epochs.mean(name) * epochs.laps) for name in names}
    total = sum(map(sum, seconds.values())) or 1.0
    found = []
    for name in sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER) - 1.5):
        in_steps, in_epochs = seconds[name]
        sums, per = (epochs, "epoch") if in_epochs > in_steps or not steps.times(name) else (steps, "step")
        share = (in_steps + in_epochs) / total
        found.append(Phase(name, sums.median(name) * 1000, per, sums.times(name), sums.laps, share))
    return tuple(found)
