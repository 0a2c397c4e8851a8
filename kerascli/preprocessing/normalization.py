"""Normalization: (x - mean) / sqrt(variance), by feature of the last axis."""

import numpy as np
import torch
from torch import Tensor, nn

EPSILON = 1e-7
"""Keras's `epsilon()`: the least standard deviation that is divided by."""

_BLOCK = 2**20
"""Values that are looked at together."""


def mean_and_variance(values: np.ndarray, *, by_feature: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Of every feature (the last axis of (N, *, F), all of (N,)) or of all values together, in float64.

    Two passes over blocks of rows: files that are mapped stay on disk, and no copy in float64 is made of the whole.
    """
    axes = tuple(range(values.ndim - 1)) if by_feature and values.ndim > 1 else None
    count = values.size if axes is None else values.size // values.shape[-1]
    rows = max(1, _BLOCK // max(1, values[0].size))
    blocks = [values[start : start + rows] for start in range(0, len(values), rows)]
    mean = np.sum([block.sum(axes, dtype=np.float64) for block in blocks], axis=0) / count
    squares = [np.square(block - mean, dtype=np.float64).sum(axes) for block in blocks]
    return mean, np.sum(squares, axis=0) / count


def normalize(values: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(N, *, F) -> (N, *, F) in float64."""
    return (values - mean) / np.maximum(np.sqrt(variance), EPSILON)


class NormalizationModule(nn.Module):
    """The same on tensors, in float32 unless the input is floating point."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: np.ndarray, variance: np.ndarray) -> None:
        super().__init__()
        deviation = np.maximum(np.sqrt(variance), EPSILON)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, *, F) -> (N, *, F)
        x = x if x.is_floating_point() else x.float()
        return (x - self.mean) / self.deviation
