"""Part of a batch that is computed now, if the batch is divided, and how its sums relate to those of the whole batch.

A part is that of a process, or with the config's `shards` a shard. Losses and synchronized layers ask for it.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from torch import Tensor

from kerascli.foundation.replaced import replaced


class LocalBatch(NamedTuple):
    """A part of a batch, which has `share` of its rows (above 0 to 1)."""

    share: float
    sum_of_parts: Callable[[Tensor], Tensor] | None = None
    """Function that adds a tensor over all parts of the batch; None: each part counts alone, by definition.

    Its gradient is that of the mean of all parts' losses, weighted by rows.
    """


_current: LocalBatch | None = None


def using(part: LocalBatch) -> AbstractContextManager[None]:
    """Compute losses inside the block for `part`: the mean of all parts' losses, weighted by rows, is the batch's."""
    return replaced(sys.modules[__name__], "_current", part)


def sum_of_parts() -> Callable[[Tensor], Tensor] | None:
    """Return the function that adds a tensor over all parts of the batch; None if what is computed counts alone."""
    return None if _current is None else _current.sum_of_parts


def share_of(total: Tensor, *, least: float | None = None) -> Tensor:
    """Return the part's share of a sum over the whole batch, given the part's own sum; without parts, the sum itself.

    A mean over the whole batch, such as that over its unmasked steps, divides by it. Sums below `least` count as it.
    """
    part, add = _current, sum_of_parts()
    whole = total if add is None else add(total)
    whole = whole if least is None else whole.clamp(min=least)
    return whole if part is None or add is None else whole * part.share


def as_mean(total: Tensor) -> Tensor:
    """Return a sum over the part's rows such that the mean over all parts, weighted by rows, is the batch's sum."""
    return total if _current is None else total / _current.share
