"""Result of a forward and backward pass as two vectors, so that all its tensors are summed over processes at once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kerascli.foundation.spans import span
from kerascli.training.objectives.outcome import Layout, StepOutcome
from kerascli.training.strategies.group import Group


def sum_of_shards(make: Callable[[int], "FlatStepResult"], first: int, stop: int) -> "FlatStepResult":
    """Return make(first) + ... + make(stop - 1), the results of shards, added as a balanced binary tree.

    `make` computes the result of the shard (part of a batch) with an index. The second half is added to the first half.
    """
    if stop - first == 1:
        return make(first)
    middle = (first + stop) // 2
    return sum_of_shards(make, first, middle).plus(sum_of_shards(make, middle, stop))


class FlatStepResult:
    """Result of a forward and backward pass (losses, gradients ...) as two vectors, `averaged` and `added`.

    `averaged` (float32) has the values averaged over shards (parts of a batch), weighted by rows: losses, gradients,
    new weights. `added` (float64) has metric states, integers and float64 values.
    """

    def __init__(self, slots: Sequence["Slot | None"], averaged: Tensor, added: Tensor, processes: int) -> None:
        """Initialize; the vector `added` ends with an element for the signal or request of each of the `processes`."""
        self.slots = slots
        """Slots (positions in the vectors) of the StepOutcome's tensors, in order; None for a tensor that is None."""
        self.vectors = [averaged, added]
        self._processes = processes

    @classmethod
    def like(cls, flat: Sequence[Tensor | None], layout: Layout, processes: int) -> "FlatStepResult":
        """Return a FlatStepResult of zeros, with a slot (position in a vector) for each tensor of `flat`.

        `flat` are the tensors (losses, gradients ...) of a StepOutcome in the order of `layout`; `processes` is the
        number of processes.
        """
        slots: list[Slot | None] = []
        ends = [0, 0]
        for index, tensor in enumerate(flat):
            if tensor is None:
                slots.append(None)
                continue
            is_state = layout.totals <= index < layout.totals + layout.states
            exact = is_state or not tensor.is_floating_point() or tensor.dtype == torch.float64
            start = ends[exact]
            ends[exact] += tensor.numel()
            slots.append(Slot(exact, is_state, start, ends[exact], tensor.shape, tensor.dtype))
        device = next(tensor.device for tensor in flat if tensor is not None)
        added = torch.zeros(ends[1] + processes, dtype=torch.float64, device=device)
        return cls(slots, torch.zeros(ends[0], device=device), added, processes)

    def with_notices(self, numbers: Sequence[float]) -> Tensor:
        """Write a number for each process (its signal, or request to save) to the end of `added`; return this part.

        The numbers encode notices, messages that processes exchange. The returned tensor (processes,) shares memory
        with `added`.
        """
        place = self.vectors[1][-self._processes :]
        for rank, number in enumerate(numbers):
            if number:
                place[rank].fill_(number)  # a copy of a tensor would wait for a GPU
        return place

    def zeros(self) -> "FlatStepResult":
        """Return the result of a shard (part of a batch) without rows: zeros, with the same tensor positions."""
        averaged, added = map(torch.zeros_like, self.vectors)
        return FlatStepResult(self.slots, averaged, added, self._processes)

    def without_states(self) -> "FlatStepResult":
        """Set the vector `added` (metric states, integers ...) to zero, in place, and return this object.

        A part of a batch without rows then adds nothing to the sums. Losses and new values of weights in `averaged` are
        unchanged: they have the weight 0, but a NaN among them must reach all processes.
        """
        self.vectors[1].zero_()
        return self

    def filled(self, flat: Sequence[Tensor | None], share: float, *, first: bool) -> "FlatStepResult":
        """Return a new FlatStepResult that holds the tensors `flat` of a shard's StepOutcome (losses, gradients ...).

        A shard is a part of a batch. All but metric states are multiplied by `share`, the shard's share of the batch's
        rows. Integers are taken only from the first shard that has rows, for which `first` is true; for other shards
        they are 0.
        """
        averaged, added = torch.empty_like(self.vectors[0]), torch.zeros_like(self.vectors[1])
        places, values = [], []
        for slot, tensor in zip(self.slots, flat, strict=True):
            if slot is None or tensor is None:
                assert slot is tensor, "which weights have a gradient does not depend on the rows"
            elif slot.exact:
                part = added[slot.start : slot.stop]
                part.copy_(tensor.reshape(-1))
                if not slot.is_state:
                    part.mul_(share if tensor.is_floating_point() else float(first))
            else:
                places.append(averaged[slot.start : slot.stop].view(slot.shape))
                values.append(tensor)
        torch._foreach_copy_(places, values)  # pyright: ignore[reportPrivateImportUsage]
        return FlatStepResult(self.slots, averaged.mul_(share), added, self._processes)

    def plus(self, other: "FlatStepResult") -> "FlatStepResult":
        """Add the vectors of other shards' (parts of a batch) result to this one's, in place; return this object."""
        for own, others in zip(self.vectors, other.vectors, strict=True):
            own += others
        return self

    def values(self) -> list[Tensor | None]:
        """Return the tensors (losses, gradients ...) that the two vectors hold, in the order of a StepOutcome.

        They have the shapes and dtypes of the StepOutcome's tensors, as views of the vectors where dtypes are equal,
        else copies. An element is None where the StepOutcome has None: the gradient of a weight on which the loss does
        not depend.
        """
        return [
            None if s is None else self.vectors[s.exact][s.start : s.stop].view(s.shape).to(s.dtype) for s in self.slots
        ]


class Slot(NamedTuple):
    """Position of a tensor (a loss, a gradient ...) in a FlatStepResult: elements `start` to `stop` of a vector."""

    exact: bool
    """True if the vector is `added` (float64), False if it is `averaged` (float32)."""
    is_state: bool
    """True if the tensor is a metric state."""
    start: int
    stop: int
    shape: torch.Size
    dtype: torch.dtype


class StepExchange:
    """Adder of the results (losses, gradients ...) of the shards (parts) of a batch, over all processes.

    With `in_order`, the terms are added in a fixed order, so that the sum does not depend on the number of processes,
    which must be a power of two.
    """

    def __init__(self, group: Group, *, in_order: bool) -> None:
        self._group = group
        self._in_order = in_order
        self._layout: Layout | None = None
        self._vectors: FlatStepResult | None = None

    def flat(self, outcome: StepOutcome, share: float, *, first: bool) -> FlatStepResult:
        """Return `outcome`, a shard's result (StepOutcome: losses, gradients ...), as two vectors (FlatStepResult).

        A shard is a part of a batch. All values but metric states are multiplied by `share`, its share of the rows.
        `first` is true for the first shard with rows of a batch.
        """
        flat = outcome.flat()
        if self._vectors is None:
            self._layout = outcome.layout()
            self._vectors = FlatStepResult.like(flat, self._layout, self._group.world.size)
        return self._vectors.filled(flat, share, first=first)

    def summed(self, result: FlatStepResult) -> StepOutcome:
        """Return the sum of all processes' results as a StepOutcome (losses, gradients ...).

        The same all-reduce exchanges signals and requests to save a checkpoint among the processes.
        """
        assert self._layout is not None
        world, notices = self._group.world, self._group.notices
        numbers = result.with_notices([float(notices.own * (rank == world.rank)) for rank in range(world.size)])
        with span("exchange"):
            self._group.add(result.vectors, in_order=self._in_order)
        notices.keep(numbers)
        return self._layout.outcome(result.values())
