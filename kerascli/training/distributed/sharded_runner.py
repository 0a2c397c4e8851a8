"""Run a forward pass on the shards of a batch, and add the outcomes of all processes' shards, weighted by rows."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kerascli import draws
from kerascli.data.batches.loader import Batch
from kerascli.spans import span
from kerascli.training.distributed.processes import Processes
from kerascli.training.distributed.sharding import Sharding
from kerascli.training.forward_pass import Layout, Runner, StepOutcome


class ShardedRunner:
    """Runs each shard of a batch by another runner, and returns the outcome of the whole batch.

    Losses, gradients and new values of weights are means of the shards' values, weighted by rows; metric states are
    sums. Shards are added as a balanced binary tree, whose lower levels are within a process and whose upper ones are
    among processes: so the sum does not depend on the number of processes.
    """

    def __init__(
        self, run: Runner, sharding: Sharding, processes: Processes, example: Batch, *, in_order: bool
    ) -> None:
        """`example` is a batch without empty shards. Without `in_order`, processes may add in any order."""
        self._run = run
        self._sharding = sharding
        self._processes = processes
        self._example = example
        self._in_order = in_order
        self._layout: Layout | None = None
        self._buffers: _Buffers | None = None

    def __call__(self, batch: Batch, numbers: draws.Draws) -> StepOutcome:
        """Run this process's shards of a batch, and wait for the sums over all processes."""
        there = dict(self._sharding.parts(batch))

        def of_shard(number: int) -> "_Buffers":
            if number not in there:
                return self._nothing()
            outcome = self._run(there[number], numbers.of_shard(number))
            return self._packed(outcome, there[number].rows / batch.whole, number)

        total = _tree(of_shard, self._sharding.first, self._sharding.stop)
        signals = total.with_signals(self._processes.own_signal())
        with span("exchange of gradients"):
            self._processes.add(total.vectors, in_order=self._in_order)
        self._processes.keep_signals(signals)
        assert self._layout is not None
        return self._layout.outcome(total.values())

    def _packed(self, outcome: StepOutcome, share: float, number: int) -> "_Buffers":
        """Return an outcome as vectors, multiplied by the shard's share of the batch's rows, except metric states."""
        layout, flat = outcome.layout(), outcome.flat()
        if self._layout is None:
            self._layout, self._buffers = layout, _Buffers.like(flat, layout, self._sharding.size)
        assert self._buffers is not None
        return self._buffers.filled(flat, share, first=number == 0)

    def _nothing(self) -> "_Buffers":
        """Return zeros, for a shard without rows."""
        if self._buffers is None:
            number, rows = next(self._sharding.parts(self._example))
            self._packed(self._run(rows, draws.Draws(0, "example", 0)), 0.0, number)
            assert self._buffers is not None
        return self._buffers.zeros()


def _tree(make: Callable[[int], "_Buffers"], first: int, stop: int) -> "_Buffers":
    """Return the sum of make(first) ... make(stop - 1): that of the first half plus that of the second."""
    if stop - first == 1:
        return make(first)
    middle = (first + stop) // 2
    return _tree(make, first, middle).plus(_tree(make, middle, stop))


class _Buffers:
    """An outcome in two vectors: `averaged` for what is averaged, `added` (float64) for metric states and integers."""

    def __init__(self, slots: Sequence["_Slot | None"], averaged: Tensor, added: Tensor, processes: int) -> None:
        """The last elements of `added` are one for each of the `processes`, for their signals."""
        self._slots = slots
        self._processes = processes
        self._averaged = averaged
        self._added = added

    @classmethod
    def like(cls, flat: Sequence[Tensor | None], layout: Layout, processes: int) -> "_Buffers":
        """Return vectors with a place for each tensor of an outcome."""
        slots: list[_Slot | None] = []
        ends = [0, 0]
        for index, tensor in enumerate(flat):
            if tensor is None:
                slots.append(None)
                continue
            is_state = layout.totals <= index < layout.totals + layout.states
            exact = is_state or not tensor.is_floating_point() or tensor.dtype == torch.float64
            start = ends[exact]
            ends[exact] += tensor.numel()
            slots.append(_Slot(exact, is_state, start, ends[exact], tensor.shape, tensor.dtype))
        device = next(tensor.device for tensor in flat if tensor is not None)
        averaged = torch.zeros(ends[0], device=device)
        added = torch.zeros(ends[1] + processes, dtype=torch.float64, device=device)
        return cls(slots, averaged, added, processes)

    @property
    def vectors(self) -> list[Tensor]:
        return [self._averaged, self._added]

    def with_signals(self, signals: Sequence[float]) -> Tensor:
        """Write the processes' signals into their place, and return it."""
        place = self._added[-self._processes :]
        if any(signals):
            place.copy_(torch.tensor(signals, dtype=place.dtype))
        return place

    def zeros(self) -> "_Buffers":
        """Return the vectors of a shard without rows."""
        return _Buffers(self._slots, torch.zeros_like(self._averaged), torch.zeros_like(self._added), self._processes)

    def filled(self, flat: Sequence[Tensor | None], share: float, *, first: bool) -> "_Buffers":
        """Return new vectors with the tensors of an outcome. Integers are those of the first shard."""
        new = _Buffers(self._slots, torch.empty_like(self._averaged), torch.zeros_like(self._added), self._processes)
        places, values = [], []
        for slot, tensor in zip(self._slots, flat, strict=True):
            if slot is None or tensor is None:
                assert slot is tensor, "which weights have a gradient does not depend on the rows"
                continue
            if slot.exact:
                part = new._added[slot.start : slot.stop]
                part.copy_(tensor.reshape(-1))
                if not slot.is_state:
                    part.mul_(share if tensor.is_floating_point() else float(first))
            else:
                places.append(new._averaged[slot.start : slot.stop].view(slot.shape))
                values.append(tensor)
        torch._foreach_copy_(places, values)  # pyright: ignore[reportPrivateImportUsage]
        new._averaged.mul_(share)
        return new

    def plus(self, other: "_Buffers") -> "_Buffers":
        """Add another outcome to this one, in place."""
        self._averaged += other._averaged
        self._added += other._added
        return self

    def values(self) -> list[Tensor | None]:
        """Return the tensors of the outcome, as views of the vectors where their dtypes are equal."""
        return [None if slot is None else self._value(slot) for slot in self._slots]

    def _value(self, slot: "_Slot") -> Tensor:
        vector = self._added if slot.exact else self._averaged
        return vector[slot.start : slot.stop].view(slot.shape).to(slot.dtype)


class _Slot:
    """Place of one tensor in the vectors of an outcome."""

    def __init__(
        self, exact: bool, is_state: bool, start: int, stop: int, shape: torch.Size, dtype: torch.dtype
    ) -> None:
        self.exact = exact
        self.is_state = is_state
        self.start = start
        self.stop = stop
        self.shape = shape
        self.dtype = dtype
