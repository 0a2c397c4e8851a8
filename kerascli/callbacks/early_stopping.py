"""EarlyStopping: end training when a metric has stopped improving."""

from kerascli.callbacks import base
from kerascli.callbacks.monitor import Monitor, to_json
from kerascli.foundation.shapes import NonNegativeInt


@base.callback()
class EarlyStopping(Monitor):
    """Stop training after `patience` epochs in which a metric did not improve by more than `min_delta`.

    As in Keras, training does not stop after the first epoch.
    """

    min_delta: float = 0.0
    """Minimum change of the metric that counts as an improvement (its absolute value)."""
    patience: NonNegativeInt = 0
    """Number of epochs without improvement after which training stops."""
    verbose: base.Verbose = 0
    baseline: float | None = None
    """Value of the metric that an improvement must also beat to reset the count of epochs; null: no such value."""
    restore_best_weights: bool = False
    """Restore the weights of the best epoch at the end of training, even if training was not stopped early."""
    start_from_epoch: NonNegativeInt = 0
    """Number of epochs (counted from 0, as in Keras) before the metric is first considered."""

    def claims(self) -> tuple[str, ...]:
        return (f"the best weights by '{self.monitor}'",) if self.restore_best_weights else ()

    def start(self) -> base.State:
        return {"wait": 0, "best": None, "best_epoch": None}

    def epoch_end(self, facts: base.EpochFacts, state: base.State) -> base.Response:
        current = self.monitored_value(facts)
        if current is None:
            return [self.missing(facts)], state
        if facts.epoch - 1 < self.start_from_epoch:
            return [], state
        wait, margin = state["wait"] + 1, abs(self.min_delta)
        if self.improves(current, state["best"], facts, by=margin):
            beats_baseline = self.baseline is None or self.improves(current, self.baseline, facts, by=margin)
            saves: list[base.Decision] = [base.SaveSlot(self._slot)] if self.restore_best_weights else []
            best = {"best": to_json(current), "best_epoch": facts.epoch}
            return saves, {"wait": 0 if beats_baseline else wait, **best}
        state = {**state, "wait": wait}
        if wait >= self.patience and facts.epoch > 1:  # Keras never stops after the first epoch
            times = "epoch" if wait == 1 else "epochs"
            return [base.Stop(f"early stopping: '{self.monitor}' has not improved for {wait} {times}")], state
        return [], state

    def train_end(self, state: base.State) -> list[base.Decision]:
        if not self.restore_best_weights or state["best_epoch"] is None:
            return []
        text = f"restoring the weights of epoch {state['best_epoch']}"
        return [*base.if_verbose(self.verbose, text), base.RestoreSlot(self._slot)]

    @property
    def _slot(self) -> str:
        """Return the checkpoint name for the best weights; it contains the metric's name, so two callbacks do not
        collide."""
        return f"early_stopping-{self.monitor}"
