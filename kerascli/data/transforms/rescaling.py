"""Transform `rescaling`: `x * scale + offset`, with a scale of `$(1/255)` for images."""

from dataclasses import replace

import torch
from torch import nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.transforms.input_checks import float_dtype, need_numbers
from kerascli.preprocessing.rescaling import RescalingModule, RescalingSettings


@transform()
class Rescaling(RescalingSettings, Transform):
    """Rescales values: `x * scale + offset`, for example with `scale: $(1/255)` for images. The shape is kept."""

    per_batch = "exact"

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        if fault := self.fault(field.shape):
            raise ValueError(fault[0])
        return replace(field, dtype=float_dtype(field), num_classes=None, classes=None)

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return RescalingModule(self, dtype)

    def inverse(self, field: Field, state: FittedState) -> nn.Module | None:
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,)
        return RescalingModule(self, torch.float64, invert=True) if all(scales) else None
