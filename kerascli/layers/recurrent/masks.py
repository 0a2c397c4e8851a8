"""Masks for fused recurrent kernels, which know none: seen steps first, then back to where they were.

Moving the seen steps to the front serves any mask, front padding too, and, unlike packed sequences, needs no
lengths on the host.
"""

import torch
from torch import Tensor


def seen_first(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(N, T, F) with the seen steps of each sequence first, in order; and which of these steps are seen."""
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    return x.gather(1, order.unsqueeze(-1).expand_as(x)), mask.gather(1, order)


def back_in_time(outputs: Tensor, mask: Tensor) -> Tensor:
    """Outputs of `seen_first` steps at their own times; a masked step repeats the output before it, or is 0."""
    latest = mask.cumsum(1).unsqueeze(-1) - 1
    moved = outputs.gather(1, latest.clamp(min=0).expand_as(outputs))
    return torch.where(latest >= 0, moved, 0.0)
