"""LearningRateScheduler: learning rate by epoch, as a formula, a table or a schedule."""

import math
from typing import Annotated, Any

from pydantic import BeforeValidator

from kerascli.callbacks import base
from kerascli.foundation.errors import ConfigError, show
from kerascli.language.expressions import ExpressionError, check, evaluate, parse
from kerascli.schedules.base import SCHEDULES, Schedule, ScheduleField

Pairs = tuple[tuple[int, float], ...]


def _read(value: Any) -> Any:
    """Parse the `schedule` argument: a formula, a list or a Schedule. Error messages mention only the form that is
    used."""
    if isinstance(value, (list, tuple)):
        if not value or not all(map(_is_pair, value)):
            raise ValueError(f"expected pairs [first epoch, rate] such as [[0, 0.1], [10, 0.01]], got {show(value)}")
        epochs = [epoch for epoch, _ in value]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"expected [first epoch, rate] in ascending order of epochs, got epochs {epochs}")
        return tuple((epoch, float(rate)) for epoch, rate in value)
    if isinstance(value, (dict, Schedule)):
        return SCHEDULES.parse(value)
    if not isinstance(value, str):
        raise ValueError(f"expected a formula, a list of [first epoch, rate] or a schedule, got {show(value)}")
    _rate_by_formula(value, 0, 0.01)
    return value


def _is_pair(value: Any) -> bool:
    match value:
        case [int(epoch), int() | float() as rate]:
            return epoch >= 0 and rate > 0
    return False


@base.callback()
class LearningRateScheduler(base.Callback):
    """Set the learning rate before each epoch; epochs are numbered from 0, as in Keras's schedule functions."""

    sets_learning_rate = True

    schedule: Annotated[str | Pairs | ScheduleField, BeforeValidator(_read)]
    """Formula over epoch and lr (`lr * 0.9 if epoch > 10 else lr`), list of [first epoch, learning rate], or schedule.

    The steps of a schedule (`{exponential_decay: ...}`) are epochs.
    """
    verbose: base.Verbose = 0
    update: str | None = None
    """Name of the update (an item of `fit.train_step`) whose learning rate is set; null: all updates."""

    def begin(self, facts: base.EpochFacts) -> list[base.Decision]:
        epoch = facts.epoch - 1
        rates = facts.rates(self.update)
        return [base.SetLearningRate(self._rate(epoch, rate), name) for name, rate in rates.items()]

    def _rate(self, epoch: int, rate: float) -> float:
        if isinstance(self.schedule, str):
            try:
                return _rate_by_formula(self.schedule, epoch, rate)
            except ValueError as error:
                raise ConfigError(f"learning_rate_scheduler: epoch {epoch}: {error}") from None
        if isinstance(self.schedule, tuple):
            return next((r for start, r in reversed(self.schedule) if start <= epoch), rate)
        return self.schedule(epoch)

    def epoch_end(self, facts: base.EpochFacts, state: base.State) -> base.Response:
        return base.if_verbose(self.verbose, base.rates_text(facts.rates(self.update))), state


def _rate_by_formula(text: str, epoch: int, rate: float) -> float:
    """Return the learning rate computed by a formula. Raises ValueError if it is not a number above 0."""
    try:
        tree, names = parse(text), {"epoch": epoch, "lr": rate}
        check(tree, names)
        value = evaluate(tree, names)
    except ExpressionError as error:
        raise ValueError(f"'{text}': {error}") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"'{text}' gives {value}, expected a number greater than 0")
    return float(value)
