"""SwapEMAWeights: validate the moving averages of the weights, train on the weights themselves."""

from typing import Any, Literal

from pydantic import field_validator

from kerascli.callbacks.base import Callback, Decision, EpochFacts, State, callback


@callback(name="swap_ema_weights")
class SwapEMAWeights(Callback):
    """Validations see the averages that an optimizer with `use_ema: true` keeps; they are the weights at the end."""

    judges_averages = True

    swap_on_epoch: Literal[False] = False
    """Only false: a checkpoint holds the weights and their averages."""

    @field_validator("swap_on_epoch", mode="before")
    @classmethod
    def _keeps_both(cls, value: Any) -> Any:
        if value is True:
            raise ValueError("a checkpoint holds the weights and their averages; leave 'swap_on_epoch' out")
        return value

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        return [], state
