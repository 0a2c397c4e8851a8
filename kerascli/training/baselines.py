"""Losses and metrics of baselines: predictions that need no model, on the rows that a model is evaluated on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kerascli.data.batches.loader import Batch
from kerascli.foundation.events import Logs
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.training.objectives.objective import BaseObjective, full_precision

Baseline = Mapping[str, Tensor | str]
"""Mapping from output to a constant prediction (units,), or to the name of a target that holds one for each row."""


class BaselineMetrics:
    """Losses and metrics of baselines, computed with the same targets, weights and masks as those of the model."""

    def __init__(self, objective: BaseObjective, baselines: Mapping[str, Baseline]) -> None:
        self._objective = objective
        self._baselines = dict(baselines)

    def states(self, outcome: GraphOutcome, targets: Mapping[str, Tensor], batch: Batch) -> list[Tensor]:
        """Return the states of all baselines for a batch, which add up; `outcome` is that of the model's forward pass.

        Outputs with a mask have no constant as a baseline: the mean of the training targets is computed without it.
        """
        for name, each in list(self._baselines.items()):
            if any(isinstance(each.get(output), Tensor) for output in outcome.masks):
                del self._baselines[name]
        outcomes = [_predicted(outcome, each, batch) for each in self._baselines.values()]
        losses = [self._objective(each, targets, batch.sample_weight, batch.rows) for each in outcomes]
        return [state for loss in losses for state in loss.states]

    def results(self, sums: Sequence[Tensor]) -> dict[str, Logs]:
        """Return a mapping from baseline to its losses and metrics by name, given the summed states."""
        count = len(self._objective.metrics)
        starts = zip(self._baselines, range(0, len(sums), count), strict=False)
        return {name: self._objective.logged_values(sums[start : start + count]) for name, start in starts}


def _predicted(outcome: GraphOutcome, baseline: Baseline, batch: Batch) -> GraphOutcome:
    """Return the outcome of a forward pass with a baseline's predictions in place of the model's outputs."""
    outputs = dict(outcome.outputs)
    for output, values in baseline.items():
        like = full_precision(outputs[output])
        values = batch.targets[values].reshape(like.shape) if isinstance(values, str) else values
        outputs[output] = torch.zeros_like(like) + values.to(like)
    return replace(outcome, outputs=outputs)
