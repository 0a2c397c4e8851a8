"""Evaluation on several processes: each evaluates every n-th batch, and all add the batches' states in their order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat

import torch
from torch import Tensor

from kerascli.data.batches.loader import Batch, BatchSource
from kerascli.training.distributed.processes import Processes


class Turns:
    """The batches of an evaluation that this process evaluates, and the states of all processes' batches.

    States are added batch by batch as on one process, so the results have the same bits. Fewer batches than processes
    are all evaluated by each.
    """

    def __init__(
        self,
        source: BatchSource,
        processes: Processes,
        limit: int | None = None,
        *,
        full_rounds: bool = False,
        after_each: Callable[[], None] = lambda: None,
    ) -> None:
        """Divide the batches of a source among the processes; `limit` is the number of batches to evaluate (None: all).

        `after_each` is called after each round. With `full_rounds`, a process without a batch in the last
        round evaluates its batch before once more, since the model's weights are gathered from all processes.
        """
        self._source = source
        self._processes = processes
        self._after_each = after_each
        self._full_rounds = full_rounds
        self._count = source.steps if limit is None else min(limit, source.steps)
        world = processes.world
        shared = self._count >= world.size
        self._rank, self._size = (world.rank, world.size) if shared else (0, 1)

    def __iter__(self) -> Iterator[tuple[int, Batch | None]]:
        """Yield (number, batch) of this process's batches; in the last round a process may have None."""
        numbers = range(self._rank, self._rank + self._count, self._size)
        batches: Iterable[Batch | None] = self._source.epoch(0, self._rank, every=self._size)
        there = islice(batches, len(range(self._rank, self._count, self._size)))
        last: Batch | None = None
        for number, batch in zip(numbers, chain(there, repeat(None)), strict=False):
            last = batch if batch is not None else last if self._full_rounds else None
            yield number, last
            self._after_each()

    def all_states(self, number: int, states: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
        """Yield the metric states of each batch of a round (one batch a process), in the order of batches.

        `states` are those of batch `number`, which this process evaluated. Without a batch, a process gives the states
        of its last one, which are left out. Signals of all processes come with the states.
        """
        number_of_own, device = self._processes.own_number(), states[0].device
        signal = torch.full((1,), number_of_own, dtype=torch.int16, device=device).view(torch.uint8)
        alone = self._size == 1
        sent = [signal] if alone else [*(state.contiguous().reshape(-1).view(torch.uint8) for state in states), signal]
        parts = self._processes.gather(torch.cat(sent))
        self._processes.keep_signals(torch.stack([part[-2:] for part in parts]).view(torch.int16).reshape(-1))
        if alone:
            yield states
            return
        first = number - self._rank
        for rank, part in enumerate(parts):
            if first + rank < self._count:
                sizes = [state.numel() * state.element_size() for state in states]
                pieces = zip(part[:-2].split(sizes), states, strict=True)
                yield [piece.clone().view(state.dtype).view(state.shape) for piece, state in pieces]

    def all_rows(self, number: int, values: Tensor) -> list[Tensor]:
        """Return on process 0 the values (rows, *) of each batch of a round, in the order of batches.

        `values` are those of this process's batch `number`. Without a batch, a process gives the values of its last
        one, which are left out. Other processes get values of no rows, unless each evaluates all batches.
        """
        own = values if number < self._count else values[:0]
        return [own] if self._size == 1 else self._processes.collect(own)


def numbered(batches: Iterable[Batch] | Turns) -> Iterable[tuple[int, Batch | None]]:
    """Return pairs of a batch's number and the batch; with `Turns` of this process's batches, some of them None."""
    return batches if isinstance(batches, Turns) else enumerate(batches)


def all_states(batches: object, number: int, states: Sequence[Tensor]) -> Iterable[Sequence[Tensor]]:
    """Return the metric states of batch `number`, or with `Turns` those of each batch of its round."""
    return batches.all_states(number, states) if isinstance(batches, Turns) else (states,)


def all_rows(batches: object, number: int, values: Tensor) -> list[Tensor]:
    """Return the values (rows, *) of batch `number`, or with `Turns` those of each batch of its round."""
    return batches.all_rows(number, values) if isinstance(batches, Turns) else [values]
