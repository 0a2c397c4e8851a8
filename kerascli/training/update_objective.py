"""Objectives of a training of several updates: of one forward pass, and of all together."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from kerascli import draws
from kerascli.config.sections.train_step import Comparison, ForwardPassSpec, LossTerm, UpdateSpec
from kerascli.data.batches.loader import Batch
from kerascli.metrics.base import Metric
from kerascli.model.runtime.graph import Graph, GraphOutcome
from kerascli.model.runtime.weights import Weight
from kerascli.training.objective import (
    BaseObjective,
    LossOutput,
    Reduction,
    figure_state,
    full_precision,
    measured,
    penalty,
    summed,
)
from kerascli.training.train_step import TrainStepModule, TrainStepOutput


class PassObjective(BaseObjective):
    """A loss for each of the updates that share a forward pass.

    What layers add by themselves counts for the first of them, a weight's regularizer for the update that trains it.
    """

    def __init__(self, spec: ForwardPassSpec, trained: Mapping[str, Sequence[Weight]]) -> None:
        metrics: list[Metric | Reduction] = [
            each for update in spec.updates
            for each in (*_reductions(spec, update), *(judged.metric for judged in update.metrics))
        ]  # fmt: skip
        losses = [term.loss for update in spec.updates for term in update.terms if term.loss is not None]
        names = [name for update in spec.updates for name in update.log_names()]
        super().__init__(names, metrics, losses)
        self.updates = spec.updates
        self._reductions = [_reductions(spec, update) for update in spec.updates]
        self._formulas = {term.node for update in spec.updates for term in update.terms if term.loss is None}
        self._penalized = {
            name: [weight for weight in weights if weight.spec.regularizer is not None]
            for name, weights in trained.items()
        }

    def forward(
        self,
        outcome: GraphOutcome,
        targets: Mapping[str, Tensor],
        sample_weight: Mapping[str, Tensor],
        rows: int,
    ) -> LossOutput:
        """Targets and sample weights by target name -> the batch's judgement, with a total for each update."""
        totals: list[Tensor] = []
        states: list[Tensor] = []
        for number, update in enumerate(self.updates):
            own = outcome.losses.items() if number == 0 else ()
            parts = [value for name, value in own if name not in self._formulas]
            means: list[Tensor] = []
            for term in update.terms:
                value, weighted = _loss(term, outcome, targets, sample_weight)
                means.append(value)
                parts.append(weighted)
            parts += [penalty(weight) for weight in self._penalized[update.name]]
            totals.append(summed(parts))
            means = [totals[-1], *means, *(outcome.metrics[name] for name in update.figures)]
            reductions = self._reductions[number]
            states += [figure_state(value, rows, how) for value, how in zip(means, reductions, strict=True)]
            for judged in update.metrics:
                y_true, y_pred = _pair(judged.of, outcome, targets)
                mask = outcome.masks.get(judged.of.y_pred)
                states.append(measured(judged.metric, y_true, y_pred, None, mask))
        return LossOutput(totals, states)


def _reductions(spec: ForwardPassSpec, update: UpdateSpec) -> list[Reduction]:
    """How the figures of an update that are no metrics become those of an epoch."""
    plain = [None] * (1 + len(update.terms)) + list(update.figures)  # the loss, its terms, figures of its layers
    return ["sum" if name in spec.built.model.sums else "mean" for name in plain]


def _loss(
    term: LossTerm, outcome: GraphOutcome, targets: Mapping[str, Tensor], sample_weight: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """A term's value, and what it adds to the loss."""
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


class _Joined(BaseObjective):
    """The figures of all forward passes."""

    def __init__(self, parts: Sequence[BaseObjective]) -> None:
        names = [name for part in parts for name in part.names]
        super().__init__(names, [metric for part in parts for metric in part.metrics], [])


class AllPasses(TrainStepModule):
    """Predicts with the model, and evaluates every forward pass without an update in between."""

    def __init__(
        self,
        graph: Graph,
        passes: Sequence[tuple[str, TrainStepModule]],
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
            nodes.append(name)  # nodes of two passes may have one name, and still draw numbers of their own
            states += each(batch).loss.states
            nodes.pop()
        return TrainStepOutput(LossOutput([], states), {})
