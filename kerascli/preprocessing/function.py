"""Module of a function, for transforms and layers that have no weights."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context manager without autocast on the device of `x`."""
    kind = x.device.type
    available = torch.amp.autocast_mode.is_autocast_available(kind)
    return torch.autocast(kind, enabled=False) if available and torch.is_autocast_enabled(kind) else nullcontext()


class Function(nn.Module):
    """Module that applies a function to its inputs, the first in `dtype` (None: as it is), and to further arguments.

    The arguments of a call that have names (`mask`) are passed on.
    """

    def __init__(self, function: Callable[..., Tensor], *arguments: Any, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.function, self.arguments, self.dtype = function, arguments, dtype

    def forward(self, x: Tensor, *xs: Tensor, **call: Any) -> Tensor:  # (N, *), ... -> (N, *)
        return self.function(x if self.dtype is None else x.to(self.dtype), *xs, *self.arguments, **call)


class Constant(Function):
    """Module that applies a function to its input, in `dtype`, and to tensors that are no weights but move with the
    module to its device."""

    def __init__(self, function: Callable[..., Tensor], *constants: Tensor, dtype: torch.dtype | None = None) -> None:
        super().__init__(function, dtype=dtype)
        for number, constant in enumerate(constants):
            self.register_buffer(f"constant_{number}", constant, persistent=False)

    def forward(self, x: Tensor, *xs: Tensor, **call: Any) -> Tensor:  # (N, *) -> (N, *)
        return super().forward(x, *xs, *self.buffers(), **call)


class InTraining(Function):
    """Module that applies a function to its input in training, and returns the input unchanged at inference."""

    def forward(self, x: Tensor, *xs: Tensor, **call: Any) -> Tensor:  # (N, *) -> (N, *)
        return super().forward(x, *xs, **call) if self.training else x
