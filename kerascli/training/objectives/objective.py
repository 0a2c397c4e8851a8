"""Objective of training: the loss to minimize and the metrics, as states that can be summed over batches."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from kerascli.language.component import Component
from kerascli.losses.base import Loss
from kerascli.metrics.base import Metric
from kerascli.metrics.comparisons import OutputTarget
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.model.runtime.weights import Weight


@dataclass(slots=True)
class LossOutput:
    """Result of an objective for a batch: losses to minimize, and the states of all logged values."""

    totals: list[Tensor]
    """Total losses, as scalar tensors: one, or one per parameter update if several share a forward pass."""
    states: list[Tensor]


Reduction = Literal["mean", "sum"]
"""Reduction of a logged value over batches: `mean` (weighted by rows) or `sum`."""


class BaseObjective(nn.Module):
    """Base class of modules that compute losses and metrics in float32 from outputs, targets and sample weights."""

    def __init__(self, names: Iterable[str], metrics: Sequence[Metric | Reduction], losses: Iterable[Loss]) -> None:
        """Initialize with the `names` of the logged values, and for each of their states a metric or a reduction over
        batches."""
        super().__init__()
        self.names = tuple(names)
        self.metrics = tuple(metrics)
        self.losses = tuple(losses)

    def components(self) -> list[Component]:
        """Return the losses and metrics that the objective consists of."""
        return [*self.losses, *(metric for metric in self.metrics if isinstance(metric, Metric))]

    def logged_values(self, states: Sequence[Tensor], *, only_defined: bool = False) -> dict[str, float]:
        """Return a mapping from name to logged value, computed from states summed over batches; waits for the device
        once.

        With `only_defined`, metrics whose value is undefined (`Metric.is_defined`) are left out.
        """
        flat = torch.cat([state.detach().reshape(-1) for state in states]).cpu().double()
        parts = flat.split([state.numel() for state in states])
        values = [
            metric.elements(part.view(state.shape), only_defined=only_defined)
            if isinstance(metric, Metric)
            else [_reduced(part, metric)]
            for metric, part, state in zip(self.metrics, parts, states, strict=True)
        ]
        numbers = zip(self.names, chain.from_iterable(values), strict=True)
        return {name: number for name, number in numbers if number is not None}


def _reduced(state: Tensor, reduction: Reduction) -> float:
    return float(state[0] / state[1] if reduction == "mean" else state[0])


class Objective(BaseObjective):
    """Objective of a `compile` section: losses and metrics of a model's outputs against targets, and the total loss."""

    class_weight: Tensor | None

    def __init__(
        self,
        names: Sequence[str],
        pairs: Sequence[OutputTarget],
        weights: Sequence[Weight],
        *,
        logged: Sequence[str] = (),
        sums: Collection[str] = (),
        class_weight: Tensor | None = None,
    ) -> None:
        """Initialize; `names` are those of the total loss, of each loss if several, of values that layers log, and of
        metrics.

        `sums` are those of the `logged` values that are summed over all rows; the others are means.
        """
        uses = [use for pair in pairs for use in pair.metrics]
        plain = len(names) - sum(len(use.columns) for use in uses)
        metrics = [*reductions(names[:plain], sums), *(use.metric for use in uses)]
        super().__init__(names, metrics, [pair.loss for pair in pairs if pair.loss is not None])
        self.pairs = pairs
        self._logged = logged
        self._each_loss = plain > 1 + len(logged)
        self._penalized = [weight for weight in weights if weight.spec.regularizer is not None and weight.trainable]
        self.register_buffer("class_weight", class_weight)

    def forward(
        self,
        outcome: GraphOutcome,
        targets: Mapping[str, Tensor],
        sample_weight: Mapping[str, Tensor],
        rows: int,
    ) -> LossOutput:
        """Return a batch's total loss and metric states; targets and sample weights are mappings by target name."""
        parts: list[Tensor] = []
        losses: list[Tensor] = []
        states: list[Tensor] = []
        for pair in self.pairs:
            y_pred, y_true = full_precision(outcome.outputs[pair.output]), targets[pair.target]
            weight = self._sample_weight(pair, y_true, sample_weight)
            mask = outcome.masks.get(pair.output)
            if pair.loss is not None:
                value = pair.loss(y_true, y_pred, sample_weight=weight, mask=mask)
                losses.append(value)
                parts.append(value if pair.weight == 1.0 else value * pair.weight)
            for use in pair.metrics:
                states.append(measured(use.metric, y_true, y_pred, weight if use.weighted else None, mask))
        parts += outcome.losses.values()
        parts += [penalty(weight) for weight in self._penalized]
        total = summed(parts)
        values = [total, *(losses if self._each_loss else ()), *(outcome.metrics[name] for name in self._logged)]
        plain = [logged_state(value, rows, how) for value, how in zip(values, self.metrics, strict=False)]
        return LossOutput([total], [*plain, *states])

    def _sample_weight(self, pair: OutputTarget, y_true: Tensor, given: Mapping[str, Tensor]) -> Tensor | None:
        if self.class_weight is not None and self.training:
            last = len(self.class_weight) - 1  # classes that are not listed are weighted 1, as in Keras
            return self.class_weight[class_numbers(y_true).clamp(max=last)]
        return given.get(pair.target)


def reductions(names: Iterable[str], sums: Collection[str]) -> list[Reduction]:
    """Return the reduction over batches of each logged value: `sum` for those in `sums`, else `mean`."""
    return ["sum" if name in sums else "mean" for name in names]


def full_precision(y_pred: Tensor) -> Tensor:
    """Return a model output as float32 if it is in half precision, else unchanged; losses and metrics need that."""
    return y_pred.float() if y_pred.dtype in (torch.bfloat16, torch.float16) else y_pred


def summed(parts: Sequence[Tensor]) -> Tensor:
    """Return the sum of a sequence of scalar tensors."""
    return parts[0] if len(parts) == 1 else torch.stack([part.reshape(()) for part in parts]).sum()


def measured(metric: Metric, y_true: Tensor, y_pred: Tensor, weight: Tensor | None, mask: Tensor | None) -> Tensor:
    """Return the state of a metric for one batch; states are summed over batches before the metric is computed."""
    return metric(y_true, y_pred.detach(), sample_weight=weight, mask=mask)


def logged_state(value: Tensor, rows: int, reduction: Metric | Reduction = "mean") -> Tensor:
    """Return a value logged for a batch as a state to sum up; a mean is multiplied by the batch's rows, as in Keras."""
    value = value.detach()
    rows = 1 if reduction == "sum" else rows
    dtype = torch.float32 if value.device.type == "mps" else torch.float64
    state = torch.full((2,), float(rows), dtype=dtype, device=value.device)
    state[:1].mul_(value)
    return state


def penalty(weight: Weight) -> Tensor:
    """Return the penalty that a weight's regularizer (`kernel_regularizer` ...) adds to the loss."""
    regularizer = weight.spec.regularizer
    assert regularizer is not None
    return regularizer(weight.spec.to_keras(weight.tensor))


def class_numbers(y_true: Tensor) -> Tensor:
    """Return class labels (rows,) as integers, for targets that are integer labels or one-hot vectors."""
    if y_true.dim() > 1:
        y_true = y_true.argmax(-1) if y_true.shape[-1] != 1 else y_true.squeeze(-1)
    return y_true.round().long() if y_true.is_floating_point() else y_true.long()
