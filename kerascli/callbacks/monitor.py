"""Base class of callbacks that monitor a metric: which values count as an improvement."""

import math
from typing import Any, Literal

import numpy as np

from kerascli.callbacks.base import Callback, EpochFacts, PrintMessage
from kerascli.foundation.errors import ConfigError

Mode = Literal["auto", "min", "max"]


class Monitor(Callback):
    """Base class of callbacks that monitor one metric of the logs."""

    monitor: str = "val_loss"
    """Name of the metric to monitor, as in logs."""
    mode: Mode = "auto"
    """Direction of improvement: `min` (lower is better), `max` (higher), or `auto` (the metric's own direction)."""

    def watched(self) -> tuple[str, ...]:
        return (self.monitor,)

    def monitored_value(self, facts: EpochFacts) -> float | None:
        """Return the value of the monitored metric in the logs; None in an epoch without validation."""
        return facts.logs.get(self.monitor)

    def missing(self, facts: EpochFacts) -> PrintMessage:
        """Return a message to print: the callback ignores this epoch, since its logs lack the monitored metric."""
        text = f"{self.component_name}: '{self.monitor}' is not in the logs of epoch {facts.epoch}, which is ignored"
        return PrintMessage(text)

    def improves(self, value: float, best: float | str | None, facts: EpochFacts, *, by: float = 0.0) -> bool:
        """Return True if a metric's value is better than its value `best`, which may come from `to_json`, by more than
        `by`; any value is better than None.

        The comparison is in float32, as in Keras, where 0.8 - 0.1 is not more than 0.7.
        """
        if best is None:
            return True
        with np.errstate(over="ignore"):
            if self._direction(facts) == "min":
                return bool(np.float32(value + by) < np.float32(float(best)))
            return bool(np.float32(value - by) > np.float32(float(best)))

    def _direction(self, facts: EpochFacts) -> Literal["min", "max"]:
        if self.mode != "auto":
            return self.mode
        for name in (self.monitor, self.monitor.removeprefix("val_")):
            if name in facts.directions:
                return facts.directions[name]
        text = f"{self.component_name}: cannot infer whether '{self.monitor}' is better lower or higher"
        raise ConfigError(text, hint="set mode: min or mode: max")


def to_json(value: float | None) -> Any:
    """Return a metric's value for a callback's state, which is saved as JSON: NaN and infinities become strings."""
    return value if value is None or math.isfinite(value) else str(value)
