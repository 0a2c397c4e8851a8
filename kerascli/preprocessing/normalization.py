"""Normalization: (x - mean) / sqrt(variance), by feature of the last axis."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

EPSILON = 1e-7
"""Keras's `epsilon()`: the least standard deviation that is divided by."""


def mean_and_variance(parts: Iterable[np.ndarray], *, by_feature: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Of every feature (the last axis of (N, *, F), all of (N,)) or of all values together, in float64.

    One pass over parts of the rows, with Chan's formula for the moments of two samples together: files that are mapped
    stay on disk, and no copy in float64 is made of the whole. Distances from a mean of the first rows are summed, not
    the values: of 1000.001 and 1000.002, too, all digits count.
    """
    count, near, mean, squares = 0, None, np.zeros(()), np.zeros(())
    for part in parts:
        axes = tuple(range(part.ndim - 1)) if by_feature and part.ndim > 1 else None
        new = part.size if axes is None else part.size // part.shape[-1]
        near = part.mean(axes, dtype=np.float64) if near is None else near
        distance = np.subtract(part, near, dtype=np.float64)
        middle = distance.mean(axes)
        around = np.square(distance - middle).sum(axes)
        step = middle - mean
        mean = mean + step * (new / (count + new))
        squares = squares + around + np.square(step) * (count * new / (count + new))
        count += new
    assert near is not None, "there are no rows"
    return near + mean, squares / count


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
