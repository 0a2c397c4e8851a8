"""ReduceLROnPlateau: smaller steps when a figure has stopped getting better."""

from typing import Annotated

import numpy as np
from pydantic import Field

from kerascli.callbacks.base import (
    Decision,
    EpochFacts,
    Say,
    SetLearningRate,
    State,
    UpdateName,
    callback,
    rates_text,
)
from kerascli.callbacks.monitor import Monitor, from_json, to_json
from kerascli.shapes import NonNegativeFloat, NonNegativeInt


@callback(name="reduce_lr_on_plateau")
class ReduceLROnPlateau(Monitor):
    """Multiplies the rate by `factor` after `patience` epochs without improvement, down to `min_lr`.

    Rates are float64 here and float32 in Keras: they differ by up to one part in 10^7.
    """

    sets_learning_rate = True

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What the rate is multiplied by."""
    patience: NonNegativeInt = 10
    """Epochs without improvement that are waited for."""
    verbose: NonNegativeInt = 0
    """1: say so when it acts."""
    min_delta: float = 0.0001
    """By how much a figure has to be better to count."""
    cooldown: NonNegativeInt = 0
    """Epochs to wait after the rate fell."""
    min_lr: NonNegativeFloat = 0.0
    """The rate falls no lower."""
    update: UpdateName = None
    """Of a train_step: the update whose learning rate is set; null: all."""

    def start(self) -> State:
        return {"wait": 0, "best": None, "cooldown": 0}

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        current = self.figure(facts)
        if current is None:
            return [self.missing(facts)], state
        wait, cooldown = state["wait"], state["cooldown"]
        if cooldown > 0:
            cooldown, wait = cooldown - 1, 0
        if self.improves(current, from_json(state["best"]), facts, by=abs(self.min_delta)):
            return [], {"wait": 0, "best": to_json(current), "cooldown": cooldown}
        wait = wait + 1 if cooldown == 0 else wait
        state = {"wait": wait, "best": state["best"], "cooldown": cooldown}
        high = {name: r for name, r in facts.rates(self.update).items() if r > np.float32(self.min_lr)}
        if cooldown > 0 or wait < self.patience or not high:
            return [], state
        rates = {name: max(rate * self.factor, self.min_lr) for name, rate in high.items()}
        says: list[Decision] = [Say(rates_text(rates, "reduced to "))] if self.verbose else []
        sets = [SetLearningRate(rate, name) for name, rate in rates.items()]
        return [*sets, *says], {**state, "wait": 0, "cooldown": self.cooldown}
