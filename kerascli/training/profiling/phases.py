"""Times of the phases of training (data, forward ...): a clock of each training step or epoch's end, and their sums."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

from kerascli.foundation.profile import Phase

REST = "everything else"

ORDER = (
    "data", "forward and backward", "forward", "backward", "optimizer", "metrics",
    "callbacks", "validation", "records", "checkpoints", "showing progress", REST,
)  # fmt: skip
"""Names of the phases of training (data, forward ...) in the order of reports; other phases come before `REST`, the
remaining time."""

_SAMPLES = 10_000
"""Maximum number of durations that are stored to compute a median, so that memory is bounded."""


class Clock:
    """Timer of named sections of code (`data`, `forward` ...); nested sections count as part of the outer one.

    A device may still compute when a call returns: at the end of a section, the function `wait` synchronizes with the
    device, so that the time counts in the section that causes it.
    """

    def __init__(self, wait: Callable[[], None]) -> None:
        self.wait = wait
        self._depth = 0
        self._entered = 0.0
        self.restart()

    def restart(self) -> None:
        """Start to time a new lap (a training step, or an epoch's end); discard the times of the current one."""
        self._parts: dict[str, float] = {}
        self._began = perf_counter()

    def begin(self) -> None:
        self._depth += 1
        if self._depth == 1:
            self._entered = perf_counter()

    def end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.wait()
            self._parts[name] = self._parts.get(name, 0.0) + perf_counter() - self._entered

    def lap(self) -> dict[str, float]:
        """End the current lap (a training step ...); return the seconds of each section, and of all else as `REST`."""
        now = perf_counter()
        parts = {**self._parts, REST: now - self._began - sum(self._parts.values())}
        self._parts, self._began = {}, now
        return parts


_WHOLE = ""


class LapSums:
    """Sums over laps (timed training steps, or timed ends of epochs): their number, and the seconds of each phase.

    A phase is a part of a lap, such as loading data (`data`), the forward pass (`forward`) or the metrics (`metrics`).
    """

    def __init__(self) -> None:
        self.laps = 0
        self.seconds: Counter[str] = Counter()
        """Mapping from a phase (`data` ...) to its seconds in all laps."""
        self.times: Counter[str] = Counter()
        """Mapping from a phase (`data` ...) to the number of laps in which it occurred."""
        self._samples: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))

    def add(self, lap: Mapping[str, float]) -> None:
        """Add a lap (a training step, or an epoch's end), a mapping from phase (data, forward ...) to seconds."""
        self.laps += 1
        self.seconds.update(lap)  # type: ignore[arg-type]
        self.times.update(lap.keys())
        for name, seconds in (*lap.items(), (_WHOLE, sum(lap.values()))):
            if len(self._samples[name]) < _SAMPLES:
                self._samples[name].append(seconds)

    def median(self, name: str = _WHOLE) -> float:
        """Return the median seconds of a phase (`data` ...) in laps (training steps) with it; default: a whole lap."""
        return median(self._samples[name]) if self.laps else 0.0


def phases(steps: LapSums, epochs: LapSums, steps_in_all: int) -> tuple[Phase, ...]:
    """Return the phases of training (`data` ...) with their times and shares of the whole time.

    `steps` and `epochs` have the times of training steps and of ends of epochs; `steps_in_all` is the number of trained
    steps, of which `steps` has those that were timed. A phase that occurs in both, such as the metrics, is listed once,
    as part of the one that takes more of its time.
    """
    names = dict.fromkeys([*steps.seconds, *epochs.seconds])
    in_steps = {name: steps.seconds[name] * steps_in_all / steps.laps for name in names}
    total = sum(in_steps.values()) + sum(epochs.seconds.values()) or 1.0
    table = []
    for name in sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER) - 1.5):
        of_epochs = epochs.seconds[name] > in_steps[name] or not steps.times[name]
        sums, per = (epochs, "epoch") if of_epochs else (steps, "step")
        share = (in_steps[name] + epochs.seconds[name]) / total
        table.append(Phase(name, sums.median(name) * 1000, per, sums.times[name], sums.laps, share))
    return tuple(table)
