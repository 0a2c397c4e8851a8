"""Evaluate baselines beside a model: predictions that need no model, in the model's own loss and metrics."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from kerascli.data.batches.loader import Batch
from kerascli.foundation.events import Logs, Tick
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.training.evaluate import EvaluatedBatches, evaluate, summed_states
from kerascli.training.objectives.objective import full_precision
from kerascli.training.objectives.train_step import GraphStep

Baseline = Mapping[str, Tensor | str]
"""Mapping from output to a constant prediction (units,), or to the name of a target that holds one for each row."""


def evaluate_with_baselines(
    step: GraphStep,
    batches: EvaluatedBatches,
    baselines: Mapping[str, Baseline],
    *,
    seed: int,
    only_defined: bool = False,
    further: Callable[[GraphOutcome, Mapping[str, Tensor], Batch], list[Tensor]] | None = None,
    then: Callable[[int], None] | None = None,
) -> Generator[Tick, None, tuple[dict[str, float], dict[str, Logs], list[Tensor]]]:
    """Evaluate a model and baselines on batches: yield a Tick event after each batch, return losses and metrics.

    They are returned as (values of the model by name, mapping from baseline to its values by name, sums of the states
    that `further` returned).

    `step` has the model, its losses and metrics; `baselines` maps names to baselines. The model runs once; losses and
    metrics are computed again for each baseline, with the same targets, weights and masks. `seed` is that of models
    that sample in inference. With `only_defined`, metrics of the model that are undefined for the rows are left out.
    `further` is called with the outcome, targets and batch of each forward pass, and returns states that are summed,
    too; `then` is called on every process after each batch, with its number. Outputs with a mask have no constant as a
    baseline: the mean of the training targets is computed without the mask.
    """
    if not baselines and further is None:
        return (yield from evaluate(step, batches, seed=seed, only_defined=only_defined)), {}, []
    compared: dict[str, Baseline] = {}
    count = 0

    def states_of(batch: Batch) -> tuple[list[Tensor], dict[str, Tensor]]:
        nonlocal count
        outcome, targets = step.compare(batch)
        for name, baseline in baselines.items():
            if not any(isinstance(baseline.get(output), Tensor) for output in outcome.masks):
                compared[name] = baseline
        outcomes = [outcome, *(predicted(outcome, each, batch) for each in compared.values())]
        losses = [step.objective(each, targets, batch.sample_weight, batch.rows) for each in outcomes]
        count = len(losses[0].states)
        more = [] if further is None else further(outcome, targets, batch)
        return [*(state for loss in losses for state in loss.states), *more], outcome.updates

    sums = yield from summed_states(step, batches, states_of, seed=seed, then=then)
    own, rest = sums[:count], sums[count:]
    beside = {name: rest[at * count : (at + 1) * count] for at, name in enumerate(compared)}
    values: dict[str, Logs] = {name: step.objective.logged_values(states) for name, states in beside.items()}
    return step.objective.logged_values(own, only_defined=only_defined), values, rest[len(compared) * count :]


def predicted(outcome: GraphOutcome, baseline: Baseline, batch: Batch) -> GraphOutcome:
    """Return the outcome of a forward pass with a baseline's predictions in place of the model's outputs."""
    outputs = dict(outcome.outputs)
    for output, values in baseline.items():
        like = full_precision(outputs[output])
        values = batch.targets[values].reshape(like.shape) if isinstance(values, str) else values
        outputs[output] = torch.zeros_like(like) + values.to(like)
    return replace(outcome, outputs=outputs)
