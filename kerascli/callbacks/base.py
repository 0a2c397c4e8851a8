"""Base class and registry of callbacks: from an epoch's logs they return decisions, which the training executes."""

import re
from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from kerascli.foundation.errors import suggestion
from kerascli.foundation.events import Record
from kerascli.foundation.shapes import NonNegativeInt
from kerascli.language.component import Component, Registry

Verbose = Annotated[NonNegativeInt, Field(description="1: print a message when the callback acts; 0: silent.")]

State = Mapping[str, Any]
"""State of a callback between epochs: JSON data, saved in every checkpoint."""


@dataclass(frozen=True, slots=True)
class EpochFacts:
    """Data class of what callbacks get at the end of an epoch or within it: logs, epoch and step numbers, learning
    rates."""

    epoch: int
    epochs: int
    logs: Mapping[str, float]
    learning_rates: Mapping[str, float]
    """Mapping from the name of each update (an item of `fit.train_step`) to its learning rate; without that section one
    entry, under an empty name."""
    steps: int
    directions: Mapping[str, Literal["min", "max"]]
    """Mapping from each logged metric to the direction of improvement (`min` or `max`), which `mode: auto` of callbacks
    uses."""
    step: int = 0
    """Number of training steps done so far, over all epochs."""
    seconds: float = 0.0
    """Duration of the epoch so far, in seconds."""

    @property
    def learning_rate(self) -> float:
        """Learning rate of the optimizer; with several updates in `fit.train_step`, the learning rate of the first
        one."""
        return next(iter(self.learning_rates.values()))

    def rates(self, update: str | None) -> dict[str, float]:
        """Return a mapping from the names of updates (items of `fit.train_step`) to their learning rates: only
        `update`, or all if it is None."""
        return {name: rate for name, rate in self.learning_rates.items() if update in (None, name)}


@dataclass(frozen=True, slots=True)
class SetLearningRate:
    """Decision of a callback to set the learning rate from the next parameter update on."""

    value: float
    update: str = ""
    """Name of the update (an item of `fit.train_step`) whose learning rate to set; empty without that section."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Decision of a callback to stop training after this epoch."""

    reason: str


@dataclass(frozen=True, slots=True)
class SaveSlot:
    """Decision of a callback to save the current weights under a name such as `best`."""

    slot: str
    to_disk: bool = False


@dataclass(frozen=True, slots=True)
class RestoreSlot:
    """Decision of a callback to restore the weights that were saved under a name such as `best`."""

    slot: str


@dataclass(frozen=True, slots=True)
class PrintMessage:
    """Decision of a callback to print a line of text."""

    text: str


def rate_columns(rates: Mapping[str, float]) -> dict[str, float]:
    """Return a mapping from column name in history.csv to learning rate: `learning_rate` or, with several updates in
    `fit.train_step`, a column for each."""
    return {f"{name}_learning_rate" if name else "learning_rate": rate for name, rate in rates.items()}


def rates_text(rates: Mapping[str, float], verb: str = "") -> str:
    """Format learning rates as text (`learning rate reduced to 0.001`), with the names of updates if there are
    several."""
    return ", ".join(f"{name + ' ' if name else ''}learning rate {verb}{rate:g}" for name, rate in rates.items())


Decision = SetLearningRate | Stop | SaveSlot | RestoreSlot | PrintMessage | Record
Response = tuple[list[Decision], State]
"""Type of a callback's response: its decisions, and its new state."""


def plain_name(what: str, pattern: str = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}") -> AfterValidator:
    """Return the validator of a name of a file or folder that a config may give, without a path."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"expected a plain {what}, got '{value}'")
        return value

    return AfterValidator(check)


def if_verbose(verbose: int, text: str) -> list[Decision]:
    """Return the decision to print a text, as a list, which is empty if `verbose` is 0."""
    return [PrintMessage(text)] if verbose else []


class Callback(Component):
    """Base class of callbacks: pure functions from an epoch's logs to decisions, with a JSON state."""

    sets_learning_rate: ClassVar[bool] = False
    """True if the callback sets the learning rate, which excludes an optimizer with a schedule."""
    validates_with_averages: ClassVar[bool] = False
    """True if validation uses the weights' moving averages, which needs an optimizer with `use_ema`."""
    comes_last: ClassVar[bool] = False
    """True if an epoch ends for the others first, so that `facts.epochs` is this one if one of them stops training."""

    def begin(self, facts: EpochFacts) -> list[Decision]:
        """Return the callback's decisions before an epoch; `facts.logs` are the logged values of the epoch before
        it."""
        return []

    def claims(self) -> tuple[str, ...]:
        """Return descriptions of the files and checkpoints that this callback alone may write."""
        return ()

    def watched(self) -> tuple[str, ...]:
        """Return the names of metrics (`val_loss`) that the callback needs in an epoch's logs."""
        return ()

    def argument_that_names(self, metric: str) -> str:
        """Return the name of the callback's argument (such as `monitor`) in which a metric that it monitors is
        named."""
        return "monitor"

    def check(self, names: Collection[str]) -> str | None:
        """Return an error message if the metric that a callback monitors is not among the logged `names`; None if it
        is."""
        for metric in self.watched():
            if metric in names:
                continue
            if metric.removeprefix("val_") in names:
                return f"there is no '{metric}' without validation; add validation_data or validation_split to fit"
            close = suggestion(metric, names) or f"; available: {', '.join(sorted(names))}"
            return f"unknown metric '{metric}' in {self.argument_that_names(metric)}{close}"
        return None

    def start(self) -> State:
        """Return the callback's state before the first epoch."""
        return {}

    @abstractmethod
    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        """Return the callback's decisions and its new state after an epoch and its validation."""

    def batch_period(self) -> int | None:
        """Return the number of training steps between calls of `batch_end`, which sync with the device; None: never."""
        return None

    def batch_end(self, facts: EpochFacts, state: State) -> Response:
        """Return the callback's decisions and new state after a batch, from the logs of the epoch so far.

        Only decisions to save, write or print are allowed.
        """
        return [], state

    def train_end(self, state: State) -> list[Decision]:
        """Return the callback's decisions after the last epoch, or after training was stopped."""
        return []


class SettingCallback(Callback):
    """Base class of callbacks that only say how a run is made, and decide nothing while it trains."""

    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        return [], state


CALLBACKS: Registry[Callback] = Registry("callback", Callback, ("kerascli.callbacks",), ("callback_",))


callback = CALLBACKS.named
"""Decorator that registers a class as a callback."""
