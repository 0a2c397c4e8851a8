"""TerminateOnNaN: callback without effect, for compatibility; a loss that is not finite always stops training."""

from kerascli.callbacks.base import SettingCallback, callback


@callback(name="terminate_on_nan", aliases=("terminate_on_naan",))
class TerminateOnNaN(SettingCallback):
    """Stop training if the loss is NaN or infinite. No effect, since every training stops at the first such step."""

    refused = {  # noqa: RUF012
        "raise_error": "training ends with an error at the first loss that is not finite, with or without this callback"
    }
