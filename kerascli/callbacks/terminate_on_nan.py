"""TerminateOnNaN: callback without effect, for compatibility; a loss that is not finite always stops training."""

import math

from kerascli.callbacks.base import Callback, EpochFacts, Response, State, Stop, callback


@callback(name="terminate_on_nan", aliases=("terminate_on_naan",))
class TerminateOnNaN(Callback):
    """Stop training if the loss of an epoch is NaN or infinite.

    Every training also checks the loss of each step, and stops sooner, without this callback.
    """

    refused = {  # noqa: RUF012
        "raise_error": "training ends with an error at the first loss that is not finite, with or without this callback"
    }

    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        loss = facts.logs.get("loss")
        if loss is None or math.isfinite(loss):
            return [], state
        return [Stop(f"the loss became {loss} in epoch {facts.epoch}")], state
