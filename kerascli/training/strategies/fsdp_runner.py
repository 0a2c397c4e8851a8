"""Forward and backward passes of a model that FSDP divides among processes, each on its part of a batch."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.spans import span
from kerascli.model.runtime.weights import held
from kerascli.training.forward_pass import ForwardPass
from kerascli.training.objectives.outcome import StepOutcome
from kerascli.training.strategies.data_parallel import DataParallel
from kerascli.training.strategies.flat_step_result import StepExchange


class FSDPRunner:
    """Callable that runs a forward and backward pass of a model divided by FSDP on this process's part of a batch.

    FSDP gathers weights before they are used, and adds gradients over the processes: each process gets the part of the
    gradients that belongs to its weights. Losses, metric states and new values of weights are added as without FSDP.
    """

    def __init__(self, forward_pass: ForwardPass, strategy: DataParallel, example: Batch) -> None:
        """Initialize; `example` is a batch with rows for this process, run in place of an empty part of a batch."""
        [update] = forward_pass.updates
        self._module = forward_pass.module
        self._weights = update.weights
        self._scale = update.optimizer.rule.loss_scale_factor or 1.0
        self._strategy = strategy
        self._example = example
        self._exchange = StepExchange(strategy.group, in_order=False)

    def __call__(self, batch: Batch, numbers: draws.Draws) -> StepOutcome:
        """Run this process's part of a batch; return the StepOutcome, after the sums over all processes.

        The losses, metric states and new weights are those of the whole batch; the gradients are this process's part.
        """
        number, rows, share = self._part(batch)
        with self._strategy.part(rows, counts=share > 0, scaled=True), draws.using(numbers.of_shard(number)):
            with span("forward"):
                output = self._module(rows)
            [total] = output.totals
            with span("backward"):
                (total * (share * self._scale)).backward()
        gradients = self._gradients()
        outcome = replace(output, totals=[_checked(total.detach(), gradients)])
        first = share > 0 and self._strategy.sharding.is_first(number, batch)
        averaged, added = self._exchange.flat(outcome, share, first=first)
        if not share:  # the rest of the example has the weight 0 already, but a NaN in it must reach all processes
            added.zero_()
        summed = self._exchange.summed((averaged, added))
        return replace(summed, gradients=gradients)

    def _part(self, batch: Batch) -> tuple[int, Batch, float]:
        """Return (shard number, rows, share) of this process's part of a batch; if it is empty, example rows and 0."""
        for number, rows in self._strategy.sharding.parts(batch):
            return number, rows, rows.rows / rows.whole
        return self._strategy.sharding.first, self._strategy.example(self._example), 0.0

    def _gradients(self) -> list[Tensor | None]:
        """Return the parts of the gradients that this process holds, and remove them from the weights."""
        gradients: list[Tensor | None] = []
        for weight in self._weights:
            gradient = weight.tensor.grad
            gradients.append(None if gradient is None else held(gradient))
            weight.tensor.grad = None
        return gradients


def _checked(total: Tensor, gradients: list[Tensor | None]) -> Tensor:
    """Return the loss, or NaN if a gradient of this process is not finite, so that no process makes the update."""
    there = [gradient for gradient in gradients if gradient is not None and gradient.numel()]
    if not there:
        return total
    largest = nn.utils.get_total_norm(there, math.inf)
    return torch.where(largest.isfinite(), total, math.nan)
