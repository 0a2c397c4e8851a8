"""ProgbarLogger: callback without effect, accepted for compatibility; every training run shows its progress."""

from kerascli.callbacks.base import Callback, callback


@callback()
class ProgbarLogger(Callback):
    """Print progress and metrics during training. No effect, since every training run does so."""
