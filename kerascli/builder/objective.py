"""The objective: what outputs and targets come to: the loss to descend, and states that add up to figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kerascli.graph.module import GraphOutcome
from kerascli.graph.weights import Weight
from kerascli.spec.compile import CompileSpec, Goal


@dataclass(slots=True)
class Judgement:
    """`total` is the scalar to descend; `states` go with `Objective.names`, and those of batches add up."""

    total: Tensor
    states: list[Tensor]


class Objective(nn.Module):
    """(outcome of the graph, targets, sample weights) -> Judgement, in float32 whatever the precision."""

    class_weight: Tensor | None

    def __init__(self, spec: CompileSpec, weights: Sequence[Weight], class_weight: Tensor | None = None) -> None:
        super().__init__()
        self.goals = spec.goals
        self._own = spec.figures
        self._each_loss = spec.logs_each_loss
        self._penalized = [weight for weight in weights if weight.spec.regularizer is not None and weight.trainable]
        self.register_buffer("class_weight", class_weight)
        self.names = tuple(spec.log_names())

    def forward(
        self,
        outcome: GraphOutcome,
        targets: Mapping[str, Tensor],
        sample_weight: Mapping[str, Tensor],
        rows: int,
    ) -> Judgement:
        """Targets by target name (N, *), sample weights by target name (N,) -> the batch's judgement."""
        parts: list[Tensor] = []
        losses: list[Tensor] = []
        figures: list[Tensor] = []
        for goal in self.goals:
            y_pred, y_true = outcome.outputs[goal.output], targets[goal.target]
            y_pred = y_pred.float() if y_pred.dtype in (torch.bfloat16, torch.float16) else y_pred
            weight = self._sample_weight(goal, y_true, sample_weight)
            mask = outcome.masks.get(goal.output)
            if goal.loss is not None:
                value = goal.loss(y_true, y_pred, sample_weight=weight, mask=mask)
                losses.append(value)
                parts.append(value if goal.weight == 1.0 else value * goal.weight)
            figures += _measure(goal, y_true, y_pred, weight, mask)
        parts += outcome.losses.values()
        parts += [_penalty(weight) for weight in self._penalized]
        total = parts[0] if len(parts) == 1 else torch.stack([part.reshape(()) for part in parts]).sum()
        means = [total, *(losses if self._each_loss else ()), *(outcome.metrics[name] for name in self._own)]
        return Judgement(total, [*(_mean_state(value, rows) for value in means), *figures])

    def _sample_weight(self, goal: Goal, y_true: Tensor, given: Mapping[str, Tensor]) -> Tensor | None:
        if self.class_weight is not None and self.training:
            last = len(self.class_weight) - 1  # where classes that were not named are weighted 1, as in Keras
            return self.class_weight[class_numbers(y_true).clamp(max=last)]
        return given.get(goal.target)

    def figures(self, states: Sequence[Tensor]) -> dict[str, float]:
        """Added-up states as the figures of logs; waits for the device once, and computes on the CPU."""
        flat = torch.cat([state.detach().reshape(-1) for state in states]).cpu().double()
        parts = flat.split([state.numel() for state in states])
        here = [part.view(state.shape) for part, state in zip(parts, states, strict=True)]
        metrics = [use.metric for goal in self.goals for use in goal.metrics]
        means = len(here) - len(metrics)
        values = [state[0] / state[1] for state in here[:means]]
        values += [metric.result(state) for metric, state in zip(metrics, here[means:], strict=True)]
        return {name: float(value) for name, value in zip(self.names, values, strict=True)}


def _measure(goal: Goal, y_true: Tensor, y_pred: Tensor, weight: Tensor | None, mask: Tensor | None) -> list[Tensor]:
    if not goal.metrics:
        return []
    y_pred = y_pred.detach()
    states = []
    for use in goal.metrics:
        counted = weight if use.weighted else None
        if mask is not None:
            factor = mask.to(y_pred.dtype)
            counted = factor if counted is None else _aligned(counted, factor) * factor
        states.append(use.metric.measure(y_true, y_pred, counted))
    return states


def _aligned(weight: Tensor, mask: Tensor) -> Tensor:
    """A weight a sample, made to meet a mask (N, T)."""
    return weight.reshape(weight.shape + (1,) * (mask.dim() - weight.dim()))


def _mean_state(value: Tensor, rows: int) -> Tensor:
    """A batch's mean counts as often as the batch has rows, as in Keras."""
    value = value.detach()
    dtype = torch.float32 if value.device.type == "mps" else torch.float64
    state = torch.full((2,), float(rows), dtype=dtype, device=value.device)
    state[:1].mul_(value)
    return state


def _penalty(weight: Weight) -> Tensor:
    regularizer = weight.spec.regularizer
    assert regularizer is not None
    return regularizer(weight.spec.to_keras(weight.tensor))


def class_numbers(y_true: Tensor) -> Tensor:
    """Class numbers (rows,) from targets as the loss sees them: numbers, or one-hot rows."""
    if y_true.dim() > 1:
        y_true = y_true.argmax(-1) if y_true.shape[-1] != 1 else y_true.squeeze(-1)
    return y_true.round().long() if y_true.is_floating_point() else y_true.long()
