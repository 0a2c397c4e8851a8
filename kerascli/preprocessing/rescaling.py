"""Rescaling: x * scale + offset."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from kerascli.shapes import Shape

Factor = float | Annotated[tuple[float, ...], Field(min_length=1, strict=False)]
"""One number for all channels, or one for each of them (the last axis)."""


class RescalingModule(nn.Module):
    """Computes in float32 unless the input is floating point."""

    def __init__(self, scale: Factor, offset: Factor) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        x = x if x.is_floating_point() else x.float()
        x = x * _as_factor(self.scale, x)
        return x + _as_factor(self.offset, x) if self.offset else x


def _as_factor(value: Factor, x: Tensor) -> Tensor | float:
    """Return what to multiply (N, *, channels) by or add to it; made without a copy from the host to the device."""
    return torch.cat([x.new_full((1,), number) for number in value]) if isinstance(value, tuple) else value


def channels_fault(shape: Shape, *values: Factor) -> str | None:
    """Return what keeps a list of numbers, one for each channel (last axis), from an input of a shape, or None."""
    for value in values:
        if isinstance(value, tuple) and (not shape or shape[-1] not in (None, len(value))):
            return f"has {len(value)} numbers, one for each channel, for {shape[-1] if shape else 'no'} channels"
    return None
