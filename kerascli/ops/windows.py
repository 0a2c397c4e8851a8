"""Windows: weights by which a piece of a signal fades in and out, the same from both ends."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.signal import windows

from kerascli.ops.base import OPS, op

_WINDOWS: dict[str, tuple[Callable[..., Tensor], str]] = {
    "bartlett": (windows.bartlett, "Bartlett's window of x values: up and down in straight lines."),
    "blackman": (windows.blackman, "Blackman's window of x values: three cosines."),
    "hamming": (windows.hamming, "Hamming's window of x values: a raised cosine on a step."),
    "hanning": (windows.hann, "Hann's window of x values: a raised cosine."),
}


def _window(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(x: int, *, device: torch.device) -> Tensor:
        return function(x, dtype=torch.get_default_dtype(), device=device)

    return call


for _name, (_function, _meaning) in _WINDOWS.items():
    OPS.register(_window(_function), _name, (), _meaning)


@op()
def kaiser(x: int, beta: float, *, device: torch.device) -> Tensor:
    """Kaiser's window of x values; the larger beta, the narrower."""
    return windows.kaiser(x, beta=float(beta), dtype=torch.get_default_dtype(), device=device)
