"""Rescaling: x * scale + offset."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from kerascli.component import Component
from kerascli.shapes import Shape

Factor = float | Annotated[tuple[float, ...], Field(min_length=1, strict=False)]
"""One number for all channels, or one for each of them (the last axis)."""


class RescalingSettings(Component):
    """The settings, for the layer and the transform."""

    scale: Factor
    """What values are multiplied by: a number, or one for each channel."""
    offset: Factor = 0.0
    """What is added after that: a number, or one for each channel."""

    def fault(self, shape: Shape) -> tuple[str, str] | None:
        """What keeps a list of numbers, one for each channel (last axis), from an input of a shape; and its name."""
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(value, tuple) and (not shape or shape[-1] not in (None, len(value))):
                channels = shape[-1] if shape else "no"
                return f"has {len(value)} numbers, one for each channel, for {channels} channels", name
        return None


class RescalingModule(nn.Module):
    """Computes in float32 unless the input is floating point."""

    def __init__(self, settings: RescalingSettings) -> None:
        super().__init__()
        self.scale, self.offset = settings.scale, settings.offset

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        x = x if x.is_floating_point() else x.float()
        x = x * _as_factor(self.scale, x)
        return x + _as_factor(self.offset, x) if self.offset else x


def _as_factor(value: Factor, x: Tensor) -> Tensor | float:
    """Return what to multiply (N, *, channels) by or add to it; made without a copy from the host to the device."""
    return torch.cat([x.new_full((1,), number) for number in value]) if isinstance(value, tuple) else value
