"""The operation histogram, which counts the elements of a tensor in bins."""

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, Numbers, as_float, op


@op()
def histogram(x: Tensor, bins: int = 10, range: Numbers | None = None) -> tuple[Tensor, Tensor]:
    """Compute counts and edges of `bins` equal bins over `range`, by default from smallest to largest element."""
    values = as_float(x).reshape(-1).detach()
    if bins < 1:
        raise ArgumentError(f"histogram: bins: expected 1 or more, got {bins}", "bins")
    if range is None:
        low, high = values.amin(), values.amax()
        half = 0.5 * (low == high)  # a single value gets bins of nonzero width
        low, high = low - half, high + half
    elif len(range) == 2 and range[0] < range[1]:
        low, high = (torch.full((), float(end), dtype=values.dtype, device=values.device) for end in range)
    else:
        raise ArgumentError("histogram: range: expected [low, high], low below high", "range")
    shares = torch.arange(bins + 1, dtype=values.dtype, device=values.device) / bins
    edges = torch.where(shares == 1, high, low + (high - low) * shares)
    places = torch.searchsorted(edges, values, right=True) - 1
    places = torch.where(values == high, bins - 1, places)  # the last bin includes its upper edge
    places = torch.where((places >= 0) & (places < bins), places, bins)
    counts = torch.zeros(bins + 1, dtype=values.dtype, device=values.device)
    return counts.index_add(0, places, torch.ones_like(values))[:-1], edges
