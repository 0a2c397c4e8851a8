"""Seconds of the phases of training (data, forward ...), added up by a clock."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from time import perf_counter

from kerascli.foundation.profile import Phase

REST = "everything else"

ORDER = (
    "data", "forward and backward", "forward", "backward", "optimizer", "metrics",
    "callbacks", "validation", "records", "checkpoints", "showing progress", REST,
)  # fmt: skip
"""Names of the phases of training (data, forward ...) in the order of reports; other phases come before `REST`, the
remaining time."""


class PhaseClock:
    """Sums of the seconds of named phases (`data`, `forward` ...); nested phases count as part of the outer one.

    A device may still compute when a call returns: where a phase begins or ends, the function `wait` synchronizes with
    the device, so that the time counts in the phase that causes it.
    """

    def __init__(self, wait: Callable[[], None]) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._wait = wait
        self._depth = 0
        self.skip()

    def skip(self) -> None:
        """Count the time since the last phase in none."""
        self._last = perf_counter()

    def begin(self) -> None:
        if self._depth == 0:
            self._add(REST)
        self._depth += 1

    def end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._add(name)

    def _add(self, name: str) -> None:
        self._wait()
        now = perf_counter()
        self._seconds[name] += now - self._last
        self._last = now

    def add_to(self, sums: dict[str, float]) -> None:
        """Add the seconds of each phase since the last call to sums; the time between phases is that of `REST`."""
        for name, seconds in self._seconds.items():
            sums[name] = sums.get(name, 0.0) + seconds
        self._seconds.clear()


def phases(seconds: Mapping[str, float]) -> tuple[Phase, ...]:
    """Return phases, given as a mapping from name to seconds, in the order of reports and with their shares."""
    total = sum(seconds.values())
    names = sorted(seconds, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER) - 1.5)
    return tuple(Phase(name, seconds[name], seconds[name] / total) for name in names)
