"""Transform `rescaling`: `x * scale + offset`, with a scale of `$(1/255)` for images."""

from dataclasses import replace

import numpy as np
from torch import nn

from kerascli.data.base import EXACT_IN_FLOAT32, Field, FittedState, Inverse, Transform, transform
from kerascli.data.transforms.input_checks import float_dtype, need_numbers
from kerascli.preprocessing.rescaling import RescalingModule, RescalingSettings


@transform()
class Rescaling(RescalingSettings, Transform):
    """Rescales values: `x * scale + offset`, for example with `scale: $(1/255)` for images. The shape is kept."""

    def in_batch(self, field: Field) -> bool:
        return field.dtype in EXACT_IN_FLOAT32

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        if fault := self.fault(field.shape):
            raise ValueError(fault[0])
        return replace(field, dtype=float_dtype(field), num_classes=None, classes=None)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        return values * np.asarray(self.scale, "float64") + np.asarray(self.offset, "float64")

    def batch(self, field: Field, learned: FittedState, *, target: bool) -> nn.Module:
        return RescalingModule(self)

    def inverse(self, field: Field, learned: FittedState) -> Inverse | None:
        scale, offset = np.asarray(self.scale, "float64"), np.asarray(self.offset, "float64")
        return (lambda values: (values - offset) / scale) if scale.all() else None
