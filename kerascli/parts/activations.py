"""Activations: the functions that follow a layer's linear part (keras.activations)."""

import torch
from torch import Tensor

from kerascli.parts.base import ACTIVATIONS, Activation


class Linear(Activation):
    """Leaves its input as it is."""

    def __call__(self, x: Tensor) -> Tensor:
        return x


class ReLU(Activation):
    """max(x, 0), with Keras's leak, ceiling and threshold."""

    negative_slope: float = 0.0
    max_value: float | None = None
    threshold: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        if self.negative_slope == 0 and self.max_value is None and self.threshold == 0:
            return torch.relu(x)
        above = x if self.max_value is None else x.clamp(max=self.max_value)
        return torch.where(x >= self.threshold, above, self.negative_slope * (x - self.threshold))


ACTIVATIONS.register(Linear)
ACTIVATIONS.register(ReLU, name="relu")
