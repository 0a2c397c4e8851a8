"""ProgbarLogger: for configs that name it; every training shows its progress."""

from kerascli.callbacks.base import Callback, Decision, EpochFacts, State, callback


@callback()
class ProgbarLogger(Callback):
    """Shows steps and figures while training; that is done in any case."""

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        return [], state
