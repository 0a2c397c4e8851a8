"""Run the batches of a training step through a traced graph of its operations."""

from collections.abc import Sequence

from torch import Tensor

from kerascli.compiler.program import FlatRunner
from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.spans import span
from kerascli.training.forward_pass import Runner
from kerascli.training.objectives.outcome import Layout, StepOutcome


class GraphRunner:
    """Callable that runs full batches through a traced graph of a forward and backward pass, smaller batches eagerly.

    If each process has a part of a batch, the graph is also used only for whole batches of the size it was traced with:
    the graph contains the part's share of the whole batch, and the parts of a batch must run either all as graphs or
    none.
    """

    def __init__(self, run: FlatRunner, example: Batch, layout: Layout, module: Runner) -> None:
        self._run = run
        self._size = (example.rows, example.whole)
        self._layout = layout
        self._module = module

    def __call__(self, batch: Batch, numbers: draws.Draws) -> StepOutcome:
        with span("forward and backward"):
            if (batch.rows, batch.whole) != self._size:
                return self._module(batch, numbers)
            return self._layout.outcome(self._run(leaves_of(batch), numbers))


def leaves_of(batch: Batch) -> list[Tensor]:
    return [*batch.inputs.values(), *batch.targets.values(), *batch.sample_weight.values()]


def batch_like(batch: Batch, leaves: Sequence[Tensor]) -> Batch:
    """Return a batch with the names of `batch` and the tensors in `leaves`: inputs, targets, sample weights, in this
    order."""
    remaining = iter(leaves)
    inputs, targets, weights = (
        {name: next(remaining) for name in section} for section in (batch.inputs, batch.targets, batch.sample_weight)
    )
    return Batch(inputs, targets, weights, batch.rows, batch.whole)
