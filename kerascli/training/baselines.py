"""Evaluate baselines beside a model: predictions that need no model, in the model's own loss and metrics."""

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kerascli.data.batches.loader import Batch
from kerascli.foundation.events import Logs, Tick
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.training.evaluate import EvaluatedBatches, evaluate, summed_states
from kerascli.training.objectives.objective import full_precision
from kerascli.training.objectives.train_step import GraphStep


@dataclass(frozen=True, slots=True)
class Baseline:
    """Predictions of outputs without a model: a constant for all rows, or a target that holds one for each row."""

    name: str
    predictions: Mapping[str, Tensor | str]
    """Mapping from output to a constant (units,), or to the name of a target in the batches."""
    targets: Mapping[str, str]
    """Mapping from output to the name of its own target, whose per-batch preprocessing the predictions get, too."""
    columns: frozenset[str]
    """Names of the logged losses and metrics that are defined for these predictions."""

    def outcome(self, outcome: GraphOutcome, batch: Batch, step: GraphStep) -> GraphOutcome:
        """Return the outcome of a forward pass with the baseline's predictions in place of the model's outputs."""
        outputs = dict(outcome.outputs)
        for output, predictions in self.predictions.items():
            like = full_precision(outputs[output])
            if isinstance(predictions, str):
                own = self.targets[output]
                predictions = step.target_stage({own: batch.targets[predictions]})[own].reshape(like.shape)
            outputs[output] = torch.zeros_like(like) + predictions.to(like)
        return replace(outcome, outputs=outputs)

    def defined(self, logs: Logs) -> Logs:
        """Return the losses and metrics that are defined for these predictions."""
        return {name: value for name, value in logs.items() if name in self.columns}


def evaluate_with_baselines(
    step: GraphStep,
    batches: Iterable[Batch] | EvaluatedBatches,
    baselines: Iterable[Baseline],
    *,
    seed: int,
    only_defined: bool = False,
) -> Generator[Tick, None, tuple[dict[str, float], dict[str, Logs]]]:
    """Evaluate a model and baselines on batches: yield a Tick event after each batch, return (logs, logs by baseline).

    The objective is computed again for each baseline, with the targets, weights and masks of the model; the model runs
    once. A constant is no baseline for an output with a mask, as training targets are averaged without one.
    """
    baselines = list(baselines)
    if not baselines:
        return (yield from evaluate(step, batches, seed=seed, only_defined=only_defined)), {}

    def states_of(batch: Batch) -> tuple[list[Tensor], dict[str, Tensor]]:
        outcome, targets = step.compare(batch)
        baselines[:] = [
            each for each in baselines
            if not any(name in outcome.masks and not isinstance(c, str) for name, c in each.predictions.items())
        ]  # fmt: skip
        outcomes = [outcome, *(each.outcome(outcome, batch, step) for each in baselines)]
        losses = [step.objective(each, targets, batch.sample_weight, batch.rows) for each in outcomes]
        return [state for loss in losses for state in loss.states], outcome.updates

    sums = yield from summed_states(step, batches, states_of, seed=seed)
    count = len(sums) // (1 + len(baselines))
    logs, *rest = (step.objective.logged_values(sums[at : at + count]) for at in range(0, len(sums), count))
    beside = {each.name: each.defined(values) for each, values in zip(baselines, rest, strict=True)}
    return logs, {name: values for name, values in beside.items() if values}
