"""SwapEMAWeights: validation with the moving averages of the weights."""

from typing import Any, Literal

from pydantic import field_validator

from kerascli.callbacks.base import SettingCallback, callback


@callback(name="swap_ema_weights")
class SwapEMAWeights(SettingCallback):
    """Validate with the exponential moving averages of the weights, which an optimizer with `use_ema: true` keeps.

    Training continues with the weights themselves; at its end the averages become the weights.
    """

    validates_with_averages = True

    swap_on_epoch: Literal[False] = False
    """Only false is supported: a checkpoint contains the weights and their averages."""

    @field_validator("swap_on_epoch", mode="before")
    @classmethod
    def _keeps_both(cls, value: Any) -> Any:
        if value is True:
            raise ValueError("a checkpoint holds the weights and their averages; leave 'swap_on_epoch' out")
        return value
