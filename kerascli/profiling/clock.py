"""Clock for profiling: measures the parts of a lap (a training step, the end of an epoch) that named code sections
take."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Lap:
    """Duration of a lap (a training step, or the end of an epoch), and the seconds of each named code section in it."""

    seconds: float
    parts: dict[str, float]


class Clock:
    """Timer of named sections of code (`data`, `forward` ...); a section inside another counts as part of the outer
    one.

    A device may still compute when a call returns; `wait` waits for it, so that time is counted where it is caused.
    """

    def __init__(self, wait: Callable[[], None]) -> None:
        self.wait = wait
        self._depth = 0
        self._entered = 0.0
        self.restart()

    def restart(self) -> None:
        """Begin a new lap (a training step ...) and discard the times measured since the last one."""
        self._parts: dict[str, float] = {}
        self._began = perf_counter()

    def begin(self, name: str) -> None:
        self._depth += 1
        if self._depth == 1:
            self._entered = perf_counter()

    def end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.wait()
            self._parts[name] = self._parts.get(name, 0.0) + perf_counter() - self._entered

    def lap(self) -> Lap:
        """End the current lap (a training step ...); return its duration and the seconds of each section in it."""
        now = perf_counter()
        done = Lap(now - self._began, self._parts)
        self._parts, self._began = {}, now
        return done
