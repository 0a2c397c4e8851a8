"""Operations that create symmetric window functions of signal processing."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.signal import windows

from kerascli.ops.base import OPS, op

_WINDOWS: dict[str, tuple[Callable[..., Tensor], str]] = {
    "bartlett": (windows.bartlett, "Create the Bartlett (triangular) window of x samples."),
    "blackman": (windows.blackman, "Create the Blackman window of x samples."),
    "hamming": (windows.hamming, "Create the Hamming window of x samples."),
    "hanning": (windows.hann, "Create the Hann window of x samples."),
}


def _window(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(x: int, *, device: torch.device) -> Tensor:
        return function(x, dtype=torch.get_default_dtype(), device=device)

    return call


for _name, (_function, _meaning) in _WINDOWS.items():
    OPS.register(_window(_function), _name, (), _meaning)


@op()
def kaiser(x: int, beta: float, *, device: torch.device) -> Tensor:
    """Create the Kaiser window of x samples; a larger beta gives a narrower window."""
    return windows.kaiser(x, beta=float(beta), dtype=torch.get_default_dtype(), device=device)
