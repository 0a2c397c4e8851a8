"""Sums of gradients over processes, of which each process gets the part that it updates weights by (ZeRO-1)."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from kerascli.training.distributed.optimizer_division import Rows, bounds
from kerascli.training.distributed.outcome_vectors import OutcomeVectors
from kerascli.training.distributed.processes import Processes
from kerascli.training.forward_pass import Layout


class GradientParts:
    """Adds outcomes over processes: each gets all losses, metric states and new values, and a part of the gradients.

    The gradients of an update lie one after the other in a vector, and so do the parts of each process.
    """

    def __init__(
        self, like: OutcomeVectors, layout: Layout, rows: Sequence[Sequence[Rows]], processes: Processes
    ) -> None:
        """`like` and `layout` have the form of all outcomes; `rows` are those of the weights of each update."""
        self._processes = processes
        self._rows = [each for update in rows for each in update]
        others = layout.totals + layout.states
        self._gradients = like.slots[others : others + layout.gradients]
        self._totals = [slot for slot in like.slots[: layout.totals] if slot is not None]
        self._parts: list[tuple[bool, list[int]]] = []
        """Bounds of the processes' parts, for each update and vector (`averaged`, `added`) with gradients of it."""
        start = 0
        for update in rows:
            slots = self._gradients[start : start + len(update)]
            start += len(update)
            for exact in (False, True):
                there = [(each, slot) for each, slot in zip(update, slots, strict=True) if slot and slot.exact == exact]
                if there:
                    ends = bounds([each for each, _ in there], there[0][1].start)
                    self._parts.append((exact, ends))

    def add(self, total: OutcomeVectors, *, in_order: bool) -> None:
        """Add the vectors of all processes, in place; gradients of which other processes have the part are undefined.

        If this process's sums of gradients are not finite, the losses are NaN in all: then none makes the update.
        """
        rank, found = self._processes.world.rank, []
        for exact, ends in self._parts:
            vector = total.vectors[exact]
            self._processes.add_parts(vector, ends)
            found.append(vector[ends[rank] : ends[rank + 1]])
        if there := [part for part in found if part.numel()]:
            largest = nn.utils.get_total_norm(there, math.inf)
            for slot in self._totals:
                place = total.vectors[slot.exact][slot.start : slot.stop]
                place.copy_(torch.where(largest.isfinite(), place, math.nan))
        self._processes.add(list(self._others(total)), in_order=in_order)

    def _others(self, total: OutcomeVectors) -> Iterator[Tensor]:
        """Yield what the vectors have before and after the gradients, which lie between."""
        for exact, vector in enumerate(total.vectors):
            ends = [end for kind, ends in self._parts for end in ends if kind == exact]
            start, stop = min(ends, default=0), max(ends, default=0)
            yield from (part for part in (vector[:start], vector[stop:]) if part.numel())

    def own(self, total: OutcomeVectors) -> list[Tensor | None]:
        """Return this process's rows of the gradients, as views of the vectors where their dtypes are equal."""
        rank = self._processes.world.rank
        found: list[Tensor | None] = []
        for rows, slot in zip(self._rows, self._gradients, strict=True):
            if slot is None:
                found.append(None)
                continue
            start, stop = (slot.start + rows.elements * cut for cut in rows.cuts[rank : rank + 2])
            found.append(total.vectors[slot.exact][start:stop].view(-1, *slot.shape[1:]).to(slot.dtype))
        return found
