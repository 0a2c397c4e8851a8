"""EarlyStopping: stop when a figure has stopped getting better."""

from kerascli.callbacks.base import Decision, EpochFacts, RestoreSlot, SaveSlot, Say, State, Stop, callback
from kerascli.callbacks.monitor import Monitor, from_json, to_json
from kerascli.shapes import NonNegativeInt


@callback()
class EarlyStopping(Monitor):
    """Stops after `patience` epochs without an improvement of more than `min_delta`.

    `baseline`: what improvements must also beat to start the count anew. `start_from_epoch` counts from 0,
    as in Keras. With `restore_best_weights` the best epoch's weights come back, however training ends.
    """

    min_delta: float = 0.0
    """By how much a figure has to be better to count."""
    patience: NonNegativeInt = 0
    """Epochs without improvement that are waited for."""
    verbose: NonNegativeInt = 0
    """1: say so when it acts."""
    baseline: float | None = None
    """The figure that has to be reached first."""
    restore_best_weights: bool = False
    """End with the weights of the best epoch."""
    start_from_epoch: NonNegativeInt = 0
    """Epochs before the watching begins."""

    def claims(self) -> tuple[str, ...]:
        return (f"the best weights by '{self.monitor}'",) if self.restore_best_weights else ()

    def start(self) -> State:
        return {"wait": 0, "best": None, "best_epoch": None}

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        current = self.figure(facts)
        if current is None:
            return [self.missing(facts)], state
        if facts.epoch - 1 < self.start_from_epoch:
            return [], state
        wait, margin = state["wait"] + 1, abs(self.min_delta)
        if self.improves(current, from_json(state["best"]), facts, by=margin):
            beats_baseline = self.baseline is None or self.improves(current, self.baseline, facts, by=margin)
            saves: list[Decision] = [SaveSlot(self._slot)] if self.restore_best_weights else []
            best = {"best": to_json(current), "best_epoch": facts.epoch}
            return saves, {"wait": 0 if beats_baseline else wait, **best}
        state = {**state, "wait": wait}
        if wait >= self.patience and facts.epoch > 1:  # Keras never stops after the first epoch
            times = "epoch" if wait == 1 else "epochs"
            return [Stop(f"early stopping: '{self.monitor}' has not improved for {wait} {times}")], state
        return [], state

    def train_end(self, state: State) -> list[Decision]:
        if not self.restore_best_weights or state["best_epoch"] is None:
            return []
        says: list[Decision] = [Say(f"restoring the weights of epoch {state['best_epoch']}")] if self.verbose else []
        return [*says, RestoreSlot(self._slot)]

    @property
    def _slot(self) -> str:
        """Two that watch different figures keep different weights."""
        return f"early_stopping-{self.monitor}"
