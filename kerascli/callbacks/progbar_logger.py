"""ProgbarLogger: callback without effect, accepted for compatibility; every training run shows its progress."""

from kerascli.callbacks.base import SettingCallback, callback


@callback()
class ProgbarLogger(SettingCallback):
    """Print progress and metrics during training. No effect, since every training run does so."""
