"""ProgbarLogger: callback without effect, accepted for compatibility; every training run shows its progress."""

from kerascli.callbacks.base import Callback, Decision, EpochFacts, State, callback


@callback()
class ProgbarLogger(Callback):
    """Print progress and metrics during training. No effect, since every training run does so."""

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        return [], state
