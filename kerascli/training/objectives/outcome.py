"""Outcome of a forward and backward pass, before weights change: losses, metric states, gradients, new values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from torch import Tensor


class Layout(NamedTuple):
    """Layout of a StepOutcome as a list of tensors: total losses, metric states, gradients, new values of weights."""

    totals: int
    """Number of total losses."""
    states: int
    """Number of metric states."""
    gradients: int
    """Number of gradients."""
    updates: tuple[str, ...]
    """Names of the non-trainable weights whose new values are the last tensors, in order."""

    def outcome(self, flat: Sequence[Any]) -> "StepOutcome":
        """Return the StepOutcome (losses, metric states, gradients ...) of a list of tensors in this layout."""
        tensors = iter(flat)
        totals, states, gradients = (list(islice(tensors, count)) for count in self[:3])
        return StepOutcome(totals, states, gradients, dict(zip(self.updates, tensors, strict=True)))


@dataclass(slots=True)
class StepOutcome:
    """Result of a forward pass and, with gradients, its backward pass, before weights change."""

    totals: list[Tensor]
    """Total losses to minimize, as scalar tensors: one for each parameter update that shares the forward pass."""
    states: list[Tensor]
    """States (sums over rows) of the logged losses and metrics for this batch, to be summed over batches."""
    gradients: list[Tensor | None] = field(default_factory=list)
    """Gradients of the weights of each parameter update, in order; None if the loss does not depend on a weight."""
    updates: dict[str, Tensor] = field(default_factory=dict)
    """Mapping from weight name to the new value, for non-trainable weights."""

    def flat(self) -> list[Tensor | None]:
        return [*self.totals, *self.states, *self.gradients, *self.updates.values()]

    def layout(self) -> Layout:
        return Layout(len(self.totals), len(self.states), len(self.gradients), tuple(self.updates))
