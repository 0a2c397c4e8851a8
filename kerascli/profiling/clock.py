"""A clock that is told of marked work and says, lap by lap, what the time went into."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Lap:
    """Seconds, and how many of them went into work of which name."""

    seconds: float
    parts: dict[str, float]


class Clock:
    """Adds up outermost work: what is marked within marked work is part of it.

    A device may still be at work when a call returns; `wait` waits for it, so that time is found where it is caused.
    """

    def __init__(self, wait: Callable[[], None]) -> None:
        self.wait = wait
        self._depth = 0
        self._entered = 0.0
        self.restart()

    def restart(self) -> None:
        """Begin a lap; what was measured since the last one is forgotten."""
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
        """The time since the last lap ended, or since `restart`."""
        now = perf_counter()
        done = Lap(now - self._began, self._parts)
        self._parts, self._began = {}, now
        return done
