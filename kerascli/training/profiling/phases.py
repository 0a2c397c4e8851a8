"""Seconds of the phases of training (data, forward ...), added up by a clock."""

from collections import defaultdict
from collections.abc import Callable
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
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Mapping from a phase to its seconds; the time between phases is that of `REST`."""
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
        self.seconds[name] += now - self._last
        self._last = now

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases with their seconds and their shares of the whole time."""
        total = sum(self.seconds.values())
        names = sorted(self.seconds, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER) - 1.5)
        return tuple(Phase(name, self.seconds[name], self.seconds[name] / total) for name in names)
