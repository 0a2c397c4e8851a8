"""Laps added up: the median of each phase, and its share of a whole training."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from kerascli.events import Phase
from kerascli.profiling.clock import Lap

REST = "everything else"

ORDER = (
    "data", "forward and backward", "forward", "backward", "optimizer", "metrics",
    "callbacks", "validation", "records", "checkpoints", "showing progress", REST,
)  # fmt: skip
"""As they follow each other; a phase of another name comes before the rest."""

_SAMPLES = 10_000
"""A median of so many is as good as one of all, and a long training needs no more memory for it."""


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


class Pages:
    """The laps of one kind: steps, or ends of epochs."""

    def __init__(self) -> None:
        self.laps = 0
        self._whole = _Sum()
        self._phases: dict[str, _Sum] = {}

    def add(self, lap: Lap) -> None:
        """A lap more."""
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
        """How many laps had that work."""
        return self._phases[name].times if name in self._phases else 0

    def mean(self, name: str) -> float:
        """Seconds a lap; a lap without that work counts as well."""
        return self._phases[name].seconds / self.laps if name in self._phases else 0.0

    def median(self, name: str) -> float:
        """Seconds of the laps that have that work: a checkpoint is not written in each."""
        return median(self._phases[name].samples)


def phases(steps: Pages, epochs: Pages, steps_in_all: int) -> tuple[Phase, ...]:
    """Shares are those of `steps_in_all` steps, all as the counted ones are in the mean, and of the epochs' ends.

    Work that belongs to both (figures are read in steps and at an epoch's end) is given where most of it is done.
    """
    names = list(dict.fromkeys([*steps.names(), *epochs.names()]))
    seconds = {name: (steps.mean(name) * steps_in_all, epochs.mean(name) * epochs.laps) for name in names}
    total = sum(map(sum, seconds.values())) or 1.0
    found = []
    for name in sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER) - 1.5):
        in_steps, in_epochs = seconds[name]
        pages, per = (epochs, "epoch") if in_epochs > in_steps or not steps.times(name) else (steps, "step")
        share = (in_steps + in_epochs) / total
        found.append(Phase(name, pages.median(name) * 1000, per, pages.times(name), pages.laps, share))
    return tuple(found)
