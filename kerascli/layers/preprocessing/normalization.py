"""Normalization as a layer."""

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.normalization import NormalizationSettings, deviation_of, normalize
from kerascli.shapes import TensorSpec


@layer(
    Example(input=(3,), output=(3,), config={"mean": [1.0, 0.0, 2.0], "variance": [4.0, 1.0, 0.25]}),
    Example(input=(3,), output=(3,), config={"axis": None, "mean": 0.5, "variance": 2.0, "invert": True}),
    Example(input=(2, 3), output=(2, 3), config={"axis": 1, "mean": [1.0, 2.0], "variance": [1.0, 4.0]}),
)
class Normalization(NormalizationSettings, Layer):
    """Subtracts a mean and divides by the root of a variance; both are given."""

    mask = "pass"

    def build(self, x: TensorSpec) -> nn.Module:
        if self.mean is None:
            hint = "give mean and variance, or put normalization into the input's pipeline under data"
            raise ShapeMismatch("a layer does not learn a mean from the data", hint=hint)
        try:
            mean, variance = self.given(x.shape)
        except ValueError as error:
            raise ShapeMismatch(str(error)) from None
        return NormalizationByNumbers(mean, deviation_of(variance), self.invert)


class NormalizationByNumbers(nn.Module):
    """The numbers are settings, not weights: they become tensors where they are used."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray, invert: bool) -> None:
        super().__init__()
        self.mean, self.deviation, self.invert = mean.tolist(), deviation.tolist(), invert

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        mean = torch.tensor(self.mean, dtype=x.dtype, device=x.device)
        deviation = torch.tensor(self.deviation, dtype=x.dtype, device=x.device)
        return normalize(x, mean, deviation, invert=self.invert)
