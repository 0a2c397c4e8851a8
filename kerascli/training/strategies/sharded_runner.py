"""Run a forward pass on the shards of a batch, and add the outcomes of all processes' shards, weighted by rows."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws, local_batch
from kerascli.foundation.errors import DataError, counted
from kerascli.foundation.local_batch import LocalBatch
from kerascli.training.forward_pass import Runner, StepOutcome
from kerascli.training.strategies.flat_step_result import FlatStepResult, StepExchange, sum_of_shards
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.process_sum import process_sum, without_others
from kerascli.training.strategies.sharding import Sharding


class Division:
    """Division of batches into shards among processes, and how sums over the shards are computed.

    With the config's `fit.shards`, each shard is computed independently, and sums have a fixed order (`in_order`).
    Without it, processes add the denominators of their losses and the statistics of synchronized layers, so that
    results equal those of one process up to rounding.
    """

    def __init__(self, sharding: Sharding, group: Group, *, in_order: bool) -> None:
        self.sharding = sharding
        self.group = group
        self.in_order = in_order
        self._sum = None if in_order else process_sum(group)

    def part(self, rows: Batch, *, counts: bool = True, scaled: bool = False) -> AbstractContextManager[None]:
        """Return a context manager for computing the loss of a shard; without `counts`, the shard adds 0 to all sums.

        With `scaled`, the caller multiplies the loss by the shard's share of the rows before the backward pass.
        """
        add, share = self._sum, rows.rows / rows.whole
        if add is None:
            return local_batch.using(LocalBatch(share))
        if not counts:
            return local_batch.using(LocalBatch(1.0, lambda total: add(total, 0.0)))
        return local_batch.using(LocalBatch(share, lambda total: add(total, 1.0 if scaled else share)))

    @contextmanager
    def trial(self, rows: Batch) -> Iterator[None]:
        """Context manager in which a forward pass is prepared (traced ...) for a shard, without sums over processes."""
        with self.part(rows), without_others():
            yield

    def examples(self, batches: Sequence[Batch]) -> list[Batch]:
        """Return this process's first shard with rows of each batch; none for a later batch that has no such shard."""
        others = [rows for batch in batches[1:] for _, rows in islice(self.sharding.parts(batch), 1)]
        return [self.example(batches[0]), *others]

    def example(self, batch: Batch) -> Batch:
        """Return this process's first shard with rows of a batch. Raises DataError if there is no such shard."""
        for _, rows in self.sharding.parts(batch):
            return rows
        text = f"the first batch has {counted(batch.whole, 'row')}: too few for {self.sharding.size} processes"
        raise DataError(text, hint="train on fewer processes")


class ShardedRunner:
    """Callable that runs each shard of a batch by another runner, and returns the outcome of the whole batch.

    Losses, gradients and new values of weights are means of the shards' values, weighted by rows; metric states are
    sums. Shards are added as a balanced binary tree, with its lower levels within a process and its upper levels among
    processes, so that the sum does not depend on the number of processes.
    """

    def __init__(self, run: Runner, module: Runner, division: Division, example: Batch) -> None:
        """Initialize; `run` computes a shard, `example` is a batch in which each process has a shard with rows.

        `module` runs the forward pass as PyTorch modules, for shards that are left out of the sums.
        """
        self._run = run
        self._module = module
        self._division = division
        self._example = example
        self._exchange = StepExchange(division.group, in_order=division.in_order)

    def __call__(self, batch: Batch, numbers: draws.Draws) -> StepOutcome:
        """Run this process's shards of a batch; return the outcome of the whole batch, summed over all processes."""
        sharding = self._division.sharding
        there = dict(sharding.parts(batch))

        def of_shard(number: int) -> FlatStepResult:
            rows = there.get(number)
            if rows is None:
                return self._nothing()
            with self._division.part(rows):
                outcome = self._run(rows, numbers.of_shard(number))
            return self._exchange.flat(outcome, rows.rows / rows.whole, first=sharding.is_first(number, batch))

        return self._exchange.summed(sum_of_shards(of_shard, sharding.first, sharding.stop))

    def _nothing(self) -> FlatStepResult:
        """Return zeros for a shard without rows; example rows are run, since other processes may wait for sums."""
        rows = self._division.example(self._example)
        with self._division.part(rows, counts=False):
            outcome = self._module(rows, draws.Draws(0, "example", 0))
        return self._exchange.flat(outcome, 0.0, first=False).zeros()
