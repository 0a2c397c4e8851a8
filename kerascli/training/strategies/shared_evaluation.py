"""Evaluation on several processes: each evaluates every n-th batch, and all add the metric states in batch order."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain, islice, repeat

import torch
from torch import Tensor, nn

from kerascli.data.batches.loader import Batch, BatchSource
from kerascli.foundation.interrupts import Signalled
from kerascli.training.evaluate import EvaluatedBatches
from kerascli.training.strategies.group import Group


class SharedBatches(EvaluatedBatches):
    """Batches of an evaluation, divided among processes; its methods also collect the results of all processes.

    Metric states are added batch by batch as on one process, so the results have the same bits. If there are fewer
    batches than processes, each process evaluates all batches.
    """

    def __init__(
        self, source: BatchSource, group: Group, limit: int | None = None, *, is_divided: bool, ends_on_signal: bool
    ) -> None:
        """Divide the batches of a source among the processes; `limit` is the number of batches to evaluate (None: all).

        A round is one batch per process. If FSDP divides the model (`is_divided`), a process without a batch in the
        last round evaluates its previous batch again, since weights are gathered from all processes. With
        `ends_on_signal`, Signalled is raised after the round in which this process gets a signal.
        """
        self._source = source
        self._group = group
        self._is_divided = is_divided
        self._ends_on_signal = ends_on_signal
        self._count = source.steps if limit is None else min(limit, source.steps)
        shared = self._count >= group.world.size
        self._rank, self._size = (group.world.rank, group.world.size) if shared else (0, 1)

    def __iter__(self) -> Iterator[tuple[int, Batch | None]]:
        """Yield (number, batch) of this process's batches; the last is None if only other processes have one left.

        If FSDP divides the model, this process's previous batch is yielded again in place of None.
        """
        numbers = range(self._rank, self._rank + self._count, self._size)
        batches: Iterable[Batch | None] = self._source.epoch(0, self._rank, every=self._size)
        there = islice(batches, len(range(self._rank, self._count, self._size)))
        last: Batch | None = None
        for number, batch in zip(numbers, chain(there, repeat(None)), strict=False):
            last = batch if batch is not None else last if self._is_divided else None
            yield number, last
            if self._ends_on_signal and (signal := self._group.notices.signals.number) is not None:
                raise Signalled(signal)

    def inference(self, module: nn.Module) -> AbstractContextManager[object]:
        return _without_gradients(module) if self._is_divided else super().inference(module)

    def states(self, number: int, states: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
        """Yield the metric states of each batch of a round (one batch per process), in the order of batches.

        It is a collective call: every process must make it in each round. `states` are those of batch `number` of this
        process. If there is no batch of that number, a process passes the states of its previous batch, which are
        ignored. The processes' notices (signals that they received, requests to save a checkpoint) are exchanged with
        the states.
        """
        notices = self._group.notices
        own = torch.full((1,), notices.own, dtype=torch.int16, device=states[0].device).view(torch.uint8)
        alone = self._size == 1
        sent = [own] if alone else [*(state.contiguous().reshape(-1).view(torch.uint8) for state in states), own]
        parts = self._group.gather(torch.cat(sent))
        notices.keep(torch.stack([part[-2:] for part in parts]).view(torch.int16).reshape(-1))
        if alone:
            yield states
            return
        first = number - self._rank
        for rank, part in enumerate(parts):
            if first + rank < self._count:
                sizes = [state.numel() * state.element_size() for state in states]
                pieces = zip(part[:-2].split(sizes), states, strict=True)
                yield [piece.clone().view(state.dtype).view(state.shape) for piece, state in pieces]

    def rows(self, number: int, values: Tensor) -> list[Tensor]:
        """Return on process 0 a list of values (rows, *), one for each batch of a round, in the order of batches.

        A round is one batch per process; every process must make this (collective) call in each round. `values` are
        those of batch `number` of this process. If there is no batch of that number, a process passes the values of
        its previous batch, which are ignored. On other processes the list has one tensor without rows or, if each
        process evaluates all batches, its own values.
        """
        own = values if number < self._count else values[:0]
        return [own] if self._size == 1 else self._group.collect(own)


@contextmanager
def _without_gradients(module: nn.Module) -> Iterator[None]:
    """Context manager to evaluate a model that FSDP divides, without gradients; at its end, gathered weights are freed.

    It does not use torch's inference mode, since FSDP uses the gathered tensors again in training.
    """
    from torch.distributed.fsdp import FSDPModule

    with torch.no_grad():
        yield
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()
