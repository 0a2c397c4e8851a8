"""Discretization: convert numbers to bin indices, with boundaries given or learned as quantiles, as Keras does."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import Floats
from kerascli.language.component import Component
from kerascli.preprocessing.categories import Dense, OutputMode, encode_tensor


def _rising(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if any(a > b for a, b in pairwise(bounds)):
        raise ValueError("expected boundaries in ascending order")
    return bounds


class DiscretizationSettings(Component):
    """Settings that the layer and the transform `discretization` share."""

    bin_boundaries: Annotated[Floats, AfterValidator(_rising)] | None = None
    """Boundaries of the bins, ascending; the outer bins are open: [0, 1] makes 3 bins.
    A value equal to a boundary belongs to the bin above it."""
    num_bins: Annotated[int, Field(ge=2, le=2**20)] | None = None
    """Number of bins of about equal counts, whose boundaries are learned from the training rows."""
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Error tolerance of the quantiles, as a fraction of the rows; smaller is more exact and slower."""
    output_mode: OutputMode = "int"
    sparse: Dense = False

    @model_validator(mode="after")
    def _not_both(self) -> "DiscretizationSettings":
        if self.bin_boundaries is not None and self.num_bins is not None:
            raise ValueError("give 'bin_boundaries' or 'num_bins', not both")
        return self


class DiscretizationModule(nn.Module):
    """Module of Discretization, for the layer and the transform; a value on a boundary belongs to the bin above.

    Values are compared in `dtype`, and vectors over the bins have the dtype `vectors`; None: the input's.
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        mode: str,
        dtype: torch.dtype | None = None,
        vectors: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.boundaries, self.mode, self.dtype, self.vectors = boundaries, mode, dtype, vectors

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *) or (N, *, bins)
        x = x if self.dtype is None else x.to(self.dtype)
        bounds = torch.tensor(self.boundaries, dtype=x.dtype, device=x.device)
        bins = torch.bucketize(x, bounds, out_int32=True, right=True)
        return encode_tensor(bins, self.mode, len(self.boundaries) + 1, self.vectors or x.dtype)


def quantile_boundaries(parts: Iterable[np.ndarray], num_bins: int, epsilon: float) -> np.ndarray:
    """Return boundaries of about `num_bins` bins with equal counts of all values, in float32.

    A summary of every part (values, and the count that each represents) is merged into that of the parts before, so
    that the whole is never sorted at once.
    """
    summary = np.zeros((2, 0), np.float32)
    for part in parts:
        joined = np.concatenate([_summary(part, epsilon), summary], axis=1)
        summary = _compressed(joined[:, np.argsort(joined[0])], epsilon)
    return _compressed(summary, 1.0 / num_bins)[0, :-1]


def _summary(values: np.ndarray, epsilon: float) -> np.ndarray:
    """Summarize values: return every n-th of them in sorted order, and n as the count that each represents."""
    ordered = np.sort(values, axis=None).astype(np.float32)
    step = max(ordered.size / (1.0 / epsilon), 1)
    chosen = ordered[int(step - 1) :: int(step)]
    return np.stack([chosen, np.full_like(chosen, step)])


def _compressed(summary: np.ndarray, epsilon: float) -> np.ndarray:
    """Compress a summary of values to quantiles in steps of `epsilon` (a fraction of all counts), by interpolation."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    counts = summary[1].cumsum()
    values = np.interp(shares, counts / counts[-1], summary[0])
    reached = np.interp(shares, counts / counts[-1], counts)
    return np.stack([values, np.diff(reached, prepend=0)]).astype(np.float32)
