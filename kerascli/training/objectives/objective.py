"""Modules that compute the loss to minimize and the metrics, as states that can be summed over batches."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from kerascli.language.component import Component
from kerascli.losses.base import Loss
from kerascli.metrics.base import Metric
from kerascli.metrics.comparisons import Comparison, LossTerm, UpdateMetric
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.model.runtime.weights import Weight
from kerascli.training.classes import class_numbers
from kerascli.training.objectives.outcome import StepOutcome

Tensors = Mapping[str, Tensor]
Reduction = Literal["mean", "sum"]
"""Reduction of a logged value over batches: `mean` (weighted by rows) or `sum`."""


class BaseObjective(nn.Module):
    """Base class of modules that compute losses and metrics in float32 from outputs, targets and sample weights."""

    def __init__(self, names: Iterable[str], metrics: Sequence[Metric | Reduction], losses: Iterable[Loss]) -> None:
        """Initialize with the `names` of the logged values, and a metric or a reduction over batches for each state."""
        super().__init__()
        self.names = tuple(names)
        self.metrics = tuple(metrics)
        self.losses = tuple(losses)

    def components(self) -> list[Component]:
        """Return the loss and metric components that the module computes."""
        return [*self.losses, *(metric for metric in self.metrics if isinstance(metric, Metric))]

    def logged_values(self, states: Sequence[Tensor], *, only_defined: bool = False) -> dict[str, float]:
        """Return losses and metrics by name, computed from their states, summed over batches.

        The call synchronizes with the device once. With `only_defined`, metrics whose value is undefined
        (`Metric.is_defined`) are left out.
        """
        flat = torch.cat([state.detach().reshape(-1) for state in states]).cpu().double()
        parts = flat.split([state.numel() for state in states])
        views = [part.view(state.shape) for part, state in zip(parts, states, strict=True)]
        values = [_elements(m, view, only_defined=only_defined) for m, view in zip(self.metrics, views, strict=True)]
        numbers = zip(self.names, chain.from_iterable(values), strict=True)
        return {name: number for name, number in numbers if number is not None}


def _elements(metric: Metric | Reduction, state: Tensor, *, only_defined: bool) -> Sequence[float | None]:
    if isinstance(metric, Metric):
        return metric.elements(state, only_defined=only_defined)
    return [float(state[0] / state[1] if metric == "mean" else state[0])]


class Objective(BaseObjective):
    """Module that computes the loss of one parameter update, a sum of weighted terms, and its metrics."""

    class_weight: Tensor | None

    def __init__(
        self,
        names: Sequence[str],
        terms: Sequence[LossTerm],
        metrics: Sequence[UpdateMetric],
        weights: Sequence[Weight],
        *,
        logged: Sequence[str] = (),
        sums: Collection[str] = (),
        class_weight: Tensor | None = None,
    ) -> None:
        """Initialize; `names` are the names of the total loss, its terms, the values that layers log, and the metrics.

        The terms have no names if there is a single one that is not logged. `weights` are the weights whose
        regularizers are added to this loss, if the weights are trained. `sums` are the names in `logged` whose values
        are summed over all rows; the other values in `logged` are averaged.
        """
        logged_terms = len(names) - 1 - len(logged) - sum(len(each.columns) for each in metrics)
        means: list[Reduction] = ["mean"] * (1 + logged_terms)
        of_layers: list[Reduction] = ["sum" if name in sums else "mean" for name in logged]
        losses = [term.loss for term in terms if term.loss is not None]
        super().__init__(names, [*means, *of_layers, *(each.metric for each in metrics)], losses)
        self.formulas = {term.node for term in terms if term.loss is None}
        self._terms = terms
        self._logged_terms = logged_terms
        self._metrics = metrics
        self._logged = logged
        self._penalized = [(w, how) for w in weights if w.trainable and (how := w.spec.regularizer) is not None]
        self.register_buffer("class_weight", class_weight)

    def forward(
        self,
        outcome: GraphOutcome,
        targets: Tensors,
        sample_weight: Tensors,
        rows: int,
        added: Sequence[Tensor] | None = None,
    ) -> StepOutcome:
        """Return a batch's total loss and the states of its logged values, from the `outcome` of a forward pass.

        `targets` and `sample_weight` are tensors by target name (targets without sample weights are left out of the
        latter), `rows` is the batch's number of rows, which weights its losses in the means of an epoch. The total
        includes `added`, losses added by layers; None: all losses that layers added in the forward pass.
        """
        operands = cache(partial(self._operands, outcome, targets, sample_weight))
        values: list[Tensor] = []
        parts: list[Tensor] = []
        for term in self._terms:
            if term.loss is None or term.of is None:
                values.append(outcome.metrics[term.node])
                parts.append(outcome.losses[term.node])
                continue
            y_true, y_pred, weight, mask = operands(term.of)
            values.append(term.loss(y_true, y_pred, sample_weight=weight, mask=mask))
            parts.append(values[-1] if term.weight == 1.0 else values[-1] * term.weight)
        states: list[Tensor] = []
        for each in self._metrics:
            y_true, y_pred, weight, mask = operands(each.of)
            states.append(measured(each.metric, y_true, y_pred, weight if each.weighted else None, mask))
        parts = [*parts, *outcome.losses.values()] if added is None else [*added, *parts]
        parts += [regularizer(weight.spec.to_keras(weight.tensor)) for weight, regularizer in self._penalized]
        total = parts[0] if len(parts) == 1 else torch.stack([part.reshape(()) for part in parts]).sum()
        logged = [total, *values[: self._logged_terms], *(outcome.metrics[name] for name in self._logged)]
        plain = [logged_state(value, rows, how) for value, how in zip(logged, self.metrics, strict=False)]
        return StepOutcome([total], [*plain, *states])

    def _operands(
        self, outcome: GraphOutcome, targets: Tensors, sample_weight: Tensors, of: Comparison
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return the operands of a loss or metric: target, prediction, sample weight and mask."""
        y_pred, weight = full_precision(outcome.outputs[of.y_pred]), None
        if not isinstance(of.y_true, str):
            y_true = torch.full_like(y_pred[..., 0] if of.class_numbers else y_pred, of.y_true)
        elif of.is_target:
            y_true, weight = targets[of.y_true], sample_weight.get(of.y_true)
        else:
            y_true = outcome.outputs[of.y_true]
        if self.class_weight is not None and self.training:
            # classes that are not listed, and labels below 0, have the last weight, which is 1, as in Keras
            weight = self.class_weight[class_numbers(y_true, y_pred.dim()).clamp(-1, len(self.class_weight) - 1)]
        return y_true, y_pred, weight, outcome.masks.get(of.y_pred)


class JoinedObjective(BaseObjective):
    """Base class of modules that join the losses and metrics of several modules of type BaseObjective."""

    def __init__(self, parts: Sequence[BaseObjective]) -> None:
        super().__init__(
            [name for part in parts for name in part.names],
            [metric for part in parts for metric in part.metrics],
            [loss for part in parts for loss in part.losses],
        )


class PassObjective(JoinedObjective):
    """Module with a total loss for each of several parameter updates that share one forward pass, and metrics.

    Losses that layers add count for the first update only.
    """

    def __init__(self, updates: Sequence[Objective]) -> None:
        super().__init__(updates)
        self.updates = nn.ModuleList(updates)
        self._formulas = {name for update in updates for name in update.formulas}

    def forward(self, outcome: GraphOutcome, targets: Tensors, sample_weight: Tensors, rows: int) -> StepOutcome:
        """Return the total loss of each parameter update and all metric states; see `Objective.forward`."""
        loss = StepOutcome([], [])
        added = [value for name, value in outcome.losses.items() if name not in self._formulas]
        for update in self.updates:
            own = update(outcome, targets, sample_weight, rows, added)
            loss.totals += own.totals
            loss.states += own.states
            added = []
        return loss


def full_precision(y_pred: Tensor) -> Tensor:
    """Return a model output as float32 if it is in half precision, else unchanged, to compute losses and metrics."""
    return y_pred.float() if y_pred.dtype in (torch.bfloat16, torch.float16) else y_pred


def measured(metric: Metric, y_true: Tensor, y_pred: Tensor, weight: Tensor | None, mask: Tensor | None) -> Tensor:
    """Return the state of a metric for one batch, to be summed over batches; `weight` are sample weights."""
    return metric(y_true.detach(), y_pred.detach(), sample_weight=weight, mask=mask)


def logged_state(value: Tensor, rows: int, reduction: Metric | Reduction = "mean") -> Tensor:
    """Return the state (2,) of a scalar `value` of a batch with `rows` rows, to sum over batches: (value * rows, rows).

    The quotient of the two sums is the mean over all rows, as in Keras. If `reduction` is "sum", it is (value, 1).
    """
    value = value.detach()
    rows = 1 if reduction == "sum" else rows
    dtype = torch.float32 if value.device.type == "mps" else torch.float64
    state = torch.full((2,), float(rows), dtype=dtype, device=value.device)
    state[:1].mul_(value)
    return state
