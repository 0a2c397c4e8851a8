"""Parts of weights that one of several processes updates by an optimizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Divided:
    """Division of an optimizer's weights among processes: this one's parts, which stay where they are in memory."""

    vectors: Sequence[tuple[Sequence[int], Tensor]]
    """Positions of consecutive weights, and the flat vector that has this process's parts of them."""
    across: Callable[[Tensor], Tensor]
    """Function that returns the sum of a tensor over all processes."""
    elements: int
    """Number of elements of all weights, in all processes."""
    are_together: bool
    """True if consecutive weights are one vector, which can be updated at once; false: each has memory of its own."""
    gather: Callable[[], None] = _nothing
    """Function that gives the new values of all processes' parts to each of them; every process calls it."""
