"""ReduceLROnPlateau: lower the learning rate when a metric has stopped improving."""

from typing import Annotated

import numpy as np
from pydantic import Field

from kerascli.callbacks import base
from kerascli.callbacks.monitor import Monitor, to_json
from kerascli.foundation.shapes import NonNegativeFloat, NonNegativeInt


@base.callback(name="reduce_lr_on_plateau")
class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` after `patience` epochs in which a metric did not improve.

    Learning rates are float64 here and float32 in Keras, a relative difference of up to 1e-7.
    """

    sets_learning_rate = True

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Factor that the learning rate is multiplied by: new rate = max(learning_rate * factor, min_lr)."""
    patience: NonNegativeInt = 10
    """Number of epochs without improvement after which the learning rate is reduced."""
    verbose: base.Verbose = 0
    min_delta: float = 0.0001
    """Minimum change of the metric that counts as an improvement (its absolute value)."""
    cooldown: NonNegativeInt = 0
    """Number of epochs after a reduction before epochs without improvement are counted again."""
    min_lr: NonNegativeFloat = 0.0
    """Lower bound of the learning rate."""
    update: str | None = None
    """Name of the update (an item of `fit.train_step`) whose learning rate is set; null: all updates."""

    def start(self) -> base.State:
        return {"wait": 0, "best": None, "cooldown": 0}

    def epoch_end(self, facts: base.EpochFacts, state: base.State) -> base.Response:
        current = self.monitored_value(facts)
        if current is None:
            return [self.missing(facts)], state
        wait, cooldown = state["wait"], state["cooldown"]
        if cooldown > 0:
            cooldown, wait = cooldown - 1, 0
        if self.improves(current, state["best"], facts, by=abs(self.min_delta)):
            return [], {"wait": 0, "best": to_json(current), "cooldown": cooldown}
        wait = wait + 1 if cooldown == 0 else wait
        state = {"wait": wait, "best": state["best"], "cooldown": cooldown}
        high = {name: r for name, r in facts.rates(self.update).items() if r > np.float32(self.min_lr)}
        if cooldown > 0 or wait < self.patience or not high:
            return [], state
        rates = {name: max(rate * self.factor, self.min_lr) for name, rate in high.items()}
        sets = [base.SetLearningRate(rate, name) for name, rate in rates.items()]
        messages = base.if_verbose(self.verbose, base.rates_text(rates, "reduced to "))
        return [*sets, *messages], {**state, "wait": 0, "cooldown": self.cooldown}
