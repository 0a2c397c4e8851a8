"""Rescaling: `x * scale + offset`, as a transform and as a layer."""

from typing import Annotated

import torch
from pydantic import Field as Setting
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.transforms.input_checks import computed
from kerascli.foundation.shapes import Shape, TensorSpec
from kerascli.language.component import Component
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.function import Function

Factor = float | Annotated[tuple[float, ...], Setting(min_length=1, strict=False)]
"""Type of the settings `scale` and `offset`: one number for all channels, or one for each (the last axis)."""


class RescalingSettings(Component):
    """Settings that the layer and the transform `rescaling` share."""

    scale: Factor
    """Factor by which values are multiplied: a number, or one for each channel (last axis)."""
    offset: Factor = 0.0
    """Offset added after the multiplication: a number, or one for each channel (last axis)."""

    def check(self, shape: Shape) -> None:
        """Raise ShapeMismatch if `scale` or `offset` does not fit the channels."""
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(value, tuple) and (not shape or shape[-1] not in (None, len(value))):
                channels = shape[-1] if shape else "no"
                text = f"has {len(value)} numbers, one for each channel, for {channels} channels"
                raise ShapeMismatch(text, argument=name)

    def rescaled(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        """Rescale values, integers in float32."""
        x = x if x.is_floating_point() else x.float()
        scale, offset = _as_factor(self.scale, x), _as_factor(self.offset, x)
        return x * scale + offset if self.offset else x * scale

    def undone(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        """Return the values before rescaling."""
        return (x - _as_factor(self.offset, x)) / _as_factor(self.scale, x)


def _as_factor(value: Factor, x: Tensor) -> Tensor | float:
    """Return the setting `scale` or `offset` as a number or a tensor (channels,), without a copy from the host."""
    return torch.cat([x.new_full((1,), number) for number in value]) if isinstance(value, tuple) else value


@transform(name="rescaling")
class RescalingTransform(RescalingSettings, Transform):
    """Rescales values: `x * scale + offset`, for example with `scale: $(1/255)` for images. The shape is kept."""

    per_batch = "exact"

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        made = computed(field)
        self.check(field.shape)
        return made

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Function(self.rescaled, dtype=dtype)

    def inverse(self, field: Field, state: FittedState) -> nn.Module | None:
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,)
        return Function(self.undone, dtype=torch.float64) if all(scales) else None


@layer(Example(input=(8, 6, 3), output=(8, 6, 3), config={"scale": 2.0, "offset": -1.0}))
class Rescaling(RescalingSettings, Layer):
    """Computes x * scale + offset: `$(1/255)` scales images of 0 to 255 to 0 to 1.

    Input and output: (N, *).
    """

    mask = "pass"

    def build(self, x: TensorSpec) -> nn.Module:
        self.check(x.shape)
        return Function(self.rescaled)
