"""What callbacks share that watch a figure: which way is better, and by how much it must be."""

import math
from typing import Any, Literal

import numpy as np

from kerascli.callbacks.base import Callback, EpochFacts, Say
from kerascli.errors import ConfigError

Mode = Literal["auto", "min", "max"]


class Monitor(Callback):
    """Watches one figure of the logs."""

    monitor: str = "val_loss"
    """The figure to watch, as logs call it."""
    mode: Mode = "auto"
    """Which way is better; auto: known from the figure."""

    def watched(self) -> tuple[str, ...]:
        return (self.monitor,)

    def figure(self, facts: EpochFacts) -> float | None:
        """The watched figure; None in an epoch without validation."""
        return facts.logs.get(self.monitor)

    def missing(self, facts: EpochFacts) -> Say:
        """What is said of an epoch whose figure is missing: it does not count."""
        return Say(
            f"{self.component_name}: '{self.monitor}' was not measured in epoch {facts.epoch}, which does not count"
        )

    def improves(self, value: float, best: float | None, facts: EpochFacts, *, by: float = 0.0) -> bool:
        """Whether `value` is better than `best` by more than `by`; anything is better than None.

        Compared in float32, as Keras does: 0.8 - 0.1 is not more than 0.7.
        """
        if best is None:
            return True
        with np.errstate(over="ignore"):
            if self._direction(facts) == "min":
                return bool(np.float32(value + by) < np.float32(best))
            return bool(np.float32(value - by) > np.float32(best))

    def _direction(self, facts: EpochFacts) -> Literal["min", "max"]:
        if self.mode != "auto":
            return self.mode
        for name in (self.monitor, self.monitor.removeprefix("val_")):
            if name in facts.directions:
                return facts.directions[name]
        text = f"{self.component_name}: cannot tell whether '{self.monitor}' is better when it is small or great"
        raise ConfigError(text, hint="set mode: min or mode: max")


def to_json(value: float | None) -> Any:
    """A figure as JSON can hold it: nan and infinities become texts."""
    return value if value is None or math.isfinite(value) else str(value)


def from_json(value: Any) -> float | None:
    """What `to_json` made, read back."""
    return None if value is None else float(value)
