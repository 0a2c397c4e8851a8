"""Evaluate a model on a split of the data, or predict; metric states stay on the device until the end.

States of stateful layers (RNNs) in evaluation are separate from those in training.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.events import Tick
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.model.runtime.weights import Weight
from kerascli.training.objectives.objective import full_precision
from kerascli.training.objectives.train_step import GraphStep, TrainStepModule

T = TypeVar("T")
Ticks = Generator[Tick, None, dict[str, float]]
"""Type of an evaluation: it yields a Tick event after each batch, and returns losses and metrics by name."""
_BLOCK_VALUES = 2**20
"""Minimum number of values of a block of predictions, but for the last one."""


def reset_states(states: Sequence[Weight]) -> None:
    """Set the states of stateful layers (such as `lstm` with `stateful: true`) to zeros, in place."""
    with torch.no_grad():
        for state in states:
            state.tensor.zero_()


class EvaluationStates:
    """States of stateful layers in evaluation or prediction, separate from their states in training."""

    def __init__(self, states: Sequence[Weight]) -> None:
        self._weights = {state.name: state for state in states}
        self._values = {name: torch.zeros_like(weight.tensor) for name, weight in self._weights.items()}

    @contextmanager
    def for_batch(self) -> Iterator[None]:
        """Context manager in which stateful layers have their states of evaluation, not those of training."""
        before = {name: weight.tensor.clone() for name, weight in self._weights.items()}
        self._put(self._values)
        try:
            yield
        finally:
            self._put(before)

    def keep(self, updates: Mapping[str, Tensor]) -> None:
        """Store the states of stateful layers after a batch; `updates` maps their names to new values."""
        self._values = {name: updates.get(name, value) for name, value in self._values.items()}

    def _put(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                self._weights[name].tensor.copy_(value)


class EvaluatedBatches:
    """Iterable of (index, batch) to evaluate or predict, whose methods gather the results of a batch.

    This base class is for one process. In the subclass `SharedBatches` every process has some of the batches, and its
    methods return the results of each.
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[tuple[int, Batch | None]]:
        """Yield (number, batch); the batch is None if this process has no batch left, but another process has one."""
        return enumerate(self._batches)

    def inference(self, module: nn.Module) -> AbstractContextManager[object]:
        """Return a context manager in which the model runs without gradients."""
        return torch.inference_mode()

    def states(self, number: int, states: Sequence[Tensor]) -> Iterable[Sequence[Tensor]]:
        """Return the metric states of every process's current batch; the base class has one process: [`states`].

        `states` are those of this process's batch, `number` is the index of this batch among all batches.
        """
        return (states,)

    def rows(self, number: int, values: Tensor) -> list[Tensor]:
        """Return the outputs (rows, *) for every process's current batch; the base class has one process: [`values`].

        `values` are those of this process's batch, `number` is the index of this batch among all batches.
        """
        return [values]


class FurtherStates(Protocol):
    """States that an evaluation computes from each forward pass, in addition to those of the model's metrics."""

    sums: Sequence[Tensor]
    """States summed over batches, set when the evaluation ends."""

    def states(self, outcome: GraphOutcome, targets: Mapping[str, Tensor], batch: Batch) -> list[Tensor]:
        """Return the states of a batch, given the outcome and the targets of its forward pass."""
        ...

    def collect(self, batches: EvaluatedBatches, number: int) -> None:
        """Do what follows a batch, whose number is given, on every process."""
        ...


def evaluate(
    module: TrainStepModule,
    batches: EvaluatedBatches,
    *,
    seed: int,
    step: int = 0,
    only_defined: bool = False,
    further: FurtherStates | None = None,
) -> Ticks:
    """Evaluate a model on batches: yield a Tick event after each batch, return losses and metrics as a dict by name.

    A Tick has no content: the caller may interrupt the work there. `module` runs the model and its losses. `seed` and
    `step` determine the random numbers of models that sample in inference. With `only_defined`, metrics that are
    undefined for the rows of the batches are left out. `further` needs a module of one graph (GraphStep).
    """
    module.eval()
    sums: list[Tensor] | None = None
    states: list[Tensor] = []
    own_states = EvaluationStates(module.states())
    for number, batch in batches:
        if batch is not None:
            drawn = draws.Draws(seed, f"evaluate/{number}", step)
            # not around the yield: the receiver of the event would be in inference mode too
            with batches.inference(module), draws.using(drawn), own_states.for_batch():
                states, updates = _states(module, batch, further)
                own_states.keep(updates)
        with torch.inference_mode():
            for each in batches.states(number, states):
                sums = add_states(sums, each)
        if further is not None:
            further.collect(batches, number)
        yield Tick()
    assert sums is not None, "a split has rows"
    count = len(module.objective.metrics)
    if further is not None:
        further.sums = sums[count:]
    return module.objective.logged_values(sums[:count], only_defined=only_defined)


def _states(
    module: TrainStepModule, batch: Batch, further: FurtherStates | None
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return the metric states of a batch, the further ones last, and the new values of weights by name."""
    if further is None:
        made = module(batch)
        return made.states, made.updates
    assert isinstance(module, GraphStep)
    outcome, targets = module.compare(batch)
    loss = module.objective(outcome, targets, batch.sample_weight, batch.rows)
    return [*loss.states, *further.states(outcome, targets, batch)], outcome.updates


def finished(work: Generator[object, None, T]) -> T:
    """Run a generator to its end, ignore what it yields, and return its return value."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def predict(module: GraphStep, batches: EvaluatedBatches, *, seed: int) -> dict[str, Tensor]:
    """Compute a model's predictions, as `predict_in_blocks` does; return a mapping from output name to tensor (rows,
    *)."""
    return _joined(list(predict_in_blocks(module, batches, seed=seed)))


def predict_in_blocks(module: GraphStep, batches: EvaluatedBatches, *, seed: int) -> Iterator[dict[str, Tensor]]:
    """Yield a model's predictions for consecutive rows: mappings from output name to tensor (rows, *) on the CPU.

    Half precision is converted to float32. `seed` determines the random numbers of models that sample. If each process
    has some of the batches, process 0 yields the values of all rows.
    """
    module.eval()
    if not module.graph.model.inputs:  # a view of weights alone
        batches = EvaluatedBatches([Batch({}, {}, {}, 1)])
    parts, size = list[dict[str, Tensor]](), 0
    values: dict[str, Tensor] = {}
    own_states = EvaluationStates(module.states())
    for number, batch in batches:
        if batch is not None:
            drawn = draws.Draws(seed, f"predict/{number}", 0)
            with batches.inference(module), draws.using(drawn), own_states.for_batch():
                outcome = module.predict(batch.inputs)
                own_states.keep(outcome.updates)
                values = {name: full_precision(value).detach() for name, value in outcome.outputs.items()}
        parts.append({name: torch.cat(batches.rows(number, value)).to("cpu") for name, value in values.items()})
        size += sum(value.numel() for value in parts[-1].values())
        if size >= _BLOCK_VALUES:
            yield _joined(parts)
            parts, size = [], 0
    if parts:
        yield _joined(parts)


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return predictions for consecutive rows as those for all of them."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def add_states(sums: list[Tensor] | None, states: Sequence[Tensor]) -> list[Tensor]:
    """Add a batch's metric states to `sums`, those of earlier batches (or None), in place; return the sums."""
    if sums is None:
        return [state.clone() for state in states]
    for total, state in zip(sums, states, strict=True):
        total += state
    return sums
