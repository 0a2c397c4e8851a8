"""Objectives of a custom `fit.train_step`: of one parameter update, of one forward pass, and of all forward passes."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.metrics.comparisons import Comparison, LossTerm, UpdateMetric
from kerascli.model.runtime.graph import Graph, GraphOutcome
from kerascli.model.runtime.weights import Weight
from kerascli.training.objectives.objective import (
    BaseObjective,
    LossOutput,
    Reduction,
    full_precision,
    logged_state,
    measured,
    penalty,
    reductions,
    summed,
)
from kerascli.training.objectives.train_step import GraphStep, TrainStepOutput


class UpdateObjective(BaseObjective):
    """Objective of one parameter update: its loss, a sum of terms, and its metrics."""

    def __init__(
        self,
        names: Sequence[str],
        terms: Sequence[LossTerm],
        metrics: Sequence[UpdateMetric],
        weights: Sequence[Weight],
        *,
        logged: Sequence[str] = (),
        sums: Collection[str] = (),
    ) -> None:
        """Initialize; `names` are those of the total loss, of its terms, of values that layers log in the update's
        forward pass, and of metrics.

        `weights` are those that the update trains, whose regularizers are added here. `sums` are nodes whose values are
        summed over all rows.
        """
        means: list[Reduction] = ["mean"] * (1 + len(terms))
        losses = [term.loss for term in terms if term.loss is not None]
        super().__init__(names, [*means, *reductions(logged, sums), *(each.metric for each in metrics)], losses)
        self.formulas = {term.node for term in terms if term.loss is None}
        self._terms = terms
        self._metrics = metrics
        self._logged = logged
        self._penalized = [weight for weight in weights if weight.spec.regularizer is not None]

    def forward(
        self,
        outcome: GraphOutcome,
        targets: Mapping[str, Tensor],
        sample_weight: Mapping[str, Tensor],
        rows: int,
        added: Sequence[Tensor] = (),
    ) -> LossOutput:
        """Return the total loss and metric states of a parameter update; the total includes `added`, losses added by
        layers."""
        values = [_loss(term, outcome, targets, sample_weight) for term in self._terms]
        parts = [*added, *(weighted for _, weighted in values), *(penalty(weight) for weight in self._penalized)]
        total = summed(parts)
        means = [total, *(value for value, _ in values), *(outcome.metrics[name] for name in self._logged)]
        states = [logged_state(value, rows, how) for value, how in zip(means, self.metrics, strict=False)]
        for each in self._metrics:
            y_true, y_pred = _pair(each.of, outcome, targets)
            states.append(measured(each.metric, y_true, y_pred, None, outcome.masks.get(each.of.y_pred)))
        return LossOutput([total], states)


class _Joined(BaseObjective):
    """Objective that joins several objectives: it concatenates their names, metrics and losses."""

    def __init__(self, parts: Sequence[BaseObjective]) -> None:
        super().__init__(
            [name for part in parts for name in part.names],
            [metric for part in parts for metric in part.metrics],
            [loss for part in parts for loss in part.losses],
        )


class PassObjective(_Joined):
    """Objective of a forward pass that parameter updates share; losses added by layers count only for the first."""

    def __init__(self, updates: Sequence[UpdateObjective]) -> None:
        super().__init__(updates)
        self.updates = nn.ModuleList(updates)
        self._formulas = {name for update in updates for name in update.formulas}

    def forward(
        self,
        outcome: GraphOutcome,
        targets: Mapping[str, Tensor],
        sample_weight: Mapping[str, Tensor],
        rows: int,
    ) -> LossOutput:
        """Return the total loss of each parameter update and all metric states; `targets` is a mapping by target
        name."""
        found = LossOutput([], [])
        added = [value for name, value in outcome.losses.items() if name not in self._formulas]
        for update in self.updates:
            own = update(outcome, targets, sample_weight, rows, added)
            found.totals += own.totals
            found.states += own.states
            added = []
        return found


def _loss(
    term: LossTerm, outcome: GraphOutcome, targets: Mapping[str, Tensor], sample_weight: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return (value, weighted value) of one term of a parameter update's loss."""
    if term.loss is None or term.of is None:
        return outcome.metrics[term.node], outcome.losses[term.node]
    y_true, y_pred = _pair(term.of, outcome, targets)
    weight = sample_weight.get(str(term.of.y_true)) if term.of.is_target else None
    value = term.loss(y_true, y_pred, sample_weight=weight, mask=outcome.masks.get(term.of.y_pred))
    return value, value if term.weight == 1.0 else value * term.weight


def _pair(of: Comparison, outcome: GraphOutcome, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    y_pred = full_precision(outcome.outputs[of.y_pred])
    if isinstance(of.y_true, str):
        return (targets if of.is_target else outcome.outputs)[of.y_true], y_pred
    like = y_pred[..., 0] if of.class_numbers else y_pred
    return torch.full_like(like, of.y_true), y_pred


class AllPasses(GraphStep):
    """Module to predict with a model that has a `fit.train_step`, and to evaluate it.

    Evaluation runs all forward passes of a training step on a batch, without parameter updates, and returns the states
    of their losses and metrics.
    """

    def __init__(
        self,
        graph: Graph,
        passes: Sequence[tuple[str, GraphStep]],
        input_stage: nn.Module,
        target_stage: nn.Module,
        precision: str,
    ) -> None:
        super().__init__(graph, _Joined([each.objective for _, each in passes]), input_stage, target_stage, precision)
        self.passes = nn.ModuleList(each for _, each in passes)
        self._names = [name for name, _ in passes]

    def forward(self, batch: Batch) -> TrainStepOutput:
        states: list[Tensor] = []
        nodes = draws.node_stack()
        for name, each in zip(self._names, self.passes, strict=True):
            nodes.append(name)  # nodes of two passes may have one name, and must draw different numbers
            states += each(batch).loss.states
            nodes.pop()
        return TrainStepOutput(LossOutput([], states), {})
