"""Data parallel training: each process has the whole model, and computes its shards (parts) of each batch.

The results of all shards are added, weighted by their rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from itertools import islice, pairwise
from operator import itemgetter

import torch
from torch import Tensor

from kerascli.data.batches.loader import Batch, Portion
from kerascli.foundation import draws, local_batch
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import DataError, counted
from kerascli.foundation.local_batch import LocalBatch
from kerascli.training.forward_pass import Eager, Request, Runner
from kerascli.training.objectives.outcome import StepOutcome
from kerascli.training.strategies.base import Strategy
from kerascli.training.strategies.flat_step_result import StepExchange, Vectors, sum_of_shards
from kerascli.training.strategies.group import Group


class DataParallel(Strategy):
    """Strategy in which each process has the whole model; gradients and losses of all parts of a batch are added.

    With `shards`, each part (shard) is computed independently, and sums have a fixed order: results have the same bits
    on every number of processes that divides `shards`, also on one. Without it, processes add the denominators of their
    losses and the statistics of synchronized layers, so that results equal those of one process up to rounding.
    """

    def __init__(self, group: Group, shards: int | None = None) -> None:
        super().__init__(group)
        rank, size, count = group.world.rank, group.world.size, shards or group.world.size
        self.portion = Portion(rank * count // size, (rank + 1) * count // size, count)
        """Range of this process's shards among those of each batch: equally many for every process, by default one."""
        self.in_order = shards is not None
        """True if sums have a fixed order."""

    def parts(self, batch: Batch) -> Iterator[tuple[int, Batch]]:
        """Yield (index, rows) of each shard (part of a batch) of this process; `batch` has only the rows that it reads.

        Shards without rows, in a batch with fewer rows than shards, are not yielded.
        """
        first, stop, shards = self.portion
        bounds = [number * batch.whole // shards for number in range(first, stop + 1)]
        for number, (start, end) in enumerate(pairwise(bounds), first):
            if end > start:
                own = itemgetter(slice(start - bounds[0], end - bounds[0]))
                yield number, batch if end - start == batch.rows else batch.mapped(own, end - start)

    def is_first(self, number: int, batch: Batch) -> bool:
        """Return True if shard (part) `number` of a batch is the first with rows; a small batch has empty shards."""
        return number == -(-self.portion.of // batch.whole) - 1

    @cached_property
    def _process_sum(self) -> Callable[[Tensor, float], Tensor] | None:
        from kerascli.training.strategies.process_sum import process_sum  # makes a torch operator

        return None if self.in_order else process_sum(self.group)

    def part(self, rows: Batch, *, counts: bool = True, scaled: bool = False) -> AbstractContextManager[None]:
        """Return a context manager for a shard's forward pass, in which means and sums are over the whole batch.

        `rows` is the shard, a part of a batch. Without `counts`, the shard adds 0 to all sums. With `scaled`, the
        caller multiplies the loss by the shard's share of the rows before the backward pass. With `fit.shards`, nothing
        is summed over processes.
        """
        add, share = self._process_sum, rows.rows / rows.whole
        if add is None:
            return local_batch.using(LocalBatch(share))
        if not counts:
            return local_batch.using(LocalBatch(1.0, lambda total: add(total, 0.0)))
        return local_batch.using(LocalBatch(share, lambda total: add(total, 1.0 if scaled else share)))

    def examples(self, batches: Sequence[Batch]) -> list[Batch]:
        """Return an example of each batch to trace and test the forward pass on: this process's first non-empty shard.

        A shard is a part of a batch's rows. A batch after the first one is left out if all of this process's shards of
        it are empty. Raises DataError if they are empty in the first batch.
        """
        further = [rows for batch in batches[1:] for _, rows in islice(self.parts(batch), 1)]
        return [self.example(batches[0]), *further]

    def example(self, batch: Batch) -> Batch:
        """Return this process's first shard (part of a batch) with rows. Raises DataError if there is none."""
        for _, rows in self.parts(batch):
            return rows
        text = f"the first batch has {counted(batch.whole, 'row')}: too few for {self.group.world.size} processes"
        raise DataError(text, hint="train on fewer processes")

    def runner(self, request: Request, recorded: str | None) -> tuple[Runner, Choice]:
        from kerascli.training.strategies.process_sum import one_process

        whole, examples = request.batches[0], self.examples(request.batches)
        with self.part(examples[0]), one_process():  # it is traced and tested without sums over processes
            run, mode = self._agreed(replace(request, batches=examples), recorded)
        return sharded_runner(run, Eager(request.forward_pass, request.live_scales), self, whole), mode

    def _agreed(self, request: Request, recorded: str | None) -> tuple[Runner, Choice]:
        """Return (function that runs a forward pass, its mode): the slowest mode that a process has chosen."""
        from kerascli.training.execution_mode import MODES, make_runner

        run, mode = make_runner(request, recorded)
        modes = self.group.agree(mode.value)
        slowest = min(modes, key=MODES.index)
        if mode.value == slowest:
            return run, mode
        run, mode = make_runner(request, slowest)
        return run, replace(mode, reason=f"as in process {modes.index(slowest)}")


def sharded_runner(run: Runner, module: Runner, strategy: DataParallel, example: Batch) -> Runner:
    """Return a function that runs a forward and backward pass on each shard (part) of a batch, and adds the results.

    `run` computes a shard, `example` is a batch in which each process has a shard with rows. `module` runs the forward
    pass as PyTorch modules, for shards that are left out of the sums. Losses, gradients and new values of weights are
    means of the shards' values, weighted by rows; metric states are sums. Shards are added as a balanced binary tree,
    with its lower levels within a process and its upper levels among processes, so that the sum does not depend on the
    number of processes.
    """
    exchange = StepExchange(strategy.group, in_order=strategy.in_order)

    def nothing() -> Vectors:
        """Return zeros for a shard without rows; example rows are run, since other processes may wait for sums."""
        rows = strategy.example(example)
        with strategy.part(rows, counts=False):
            outcome = module(rows, draws.Draws(0, "example", 0))
        averaged, added = exchange.flat(outcome, 0.0, first=False)
        return torch.zeros_like(averaged), torch.zeros_like(added)

    def run_shards(batch: Batch, numbers: draws.Draws) -> StepOutcome:
        there = dict(strategy.parts(batch))

        def of_shard(number: int) -> Vectors:
            if (rows := there.get(number)) is None:
                return nothing()
            with strategy.part(rows):
                outcome = run(rows, numbers.of_shard(number))
            return exchange.flat(outcome, rows.rows / rows.whole, first=strategy.is_first(number, batch))

        return exchange.summed(sum_of_shards(of_shard, strategy.portion.first, strategy.portion.stop))

    return run_shards
