"""Forward pass of a training step, the parameter updates made from its losses, and its eager runner."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.spans import span
from kerascli.model.runtime.weights import Weight
from kerascli.optimizers.base import BaseOptimizer
from kerascli.optimizers.rule import Written
from kerascli.training.objectives.outcome import StepOutcome
from kerascli.training.objectives.train_step import TrainStepModule

M = TypeVar("M", bound=TrainStepModule, covariant=True)


class ParameterUpdate(NamedTuple):
    """Optimizer and the weights that it updates by the gradients of one loss."""

    name: str
    """Name of the update in the config section `fit.train_step`; empty without that section."""
    optimizer: BaseOptimizer
    weights: tuple[Weight, ...]
    """Trainable weights that the optimizer updates."""


@dataclass(frozen=True, slots=True)
class ForwardPass(Generic[M]):
    """Forward pass of a training step: the module that is called once on a batch, and a parameter update per loss."""

    module: M
    updates: tuple[ParameterUpdate, ...]
    repeat: int = 1
    """Number of times that the forward pass and its parameter updates run in each training step."""

    @property
    def stream(self) -> str:
        """Key of the random number stream (for dropout ...) that the forward pass draws from."""
        return f"train/{name}" if (name := self.updates[0].name) else "train"


@dataclass(frozen=True, slots=True)
class Request:
    """Request to prepare a forward pass for repeated execution: example batches, number of steps, settings."""

    forward_pass: ForwardPass
    batches: Sequence[Batch]
    """First batch of the data, and a second if there is one: graphs are traced on the first and tested on the other."""
    steps: int
    """Number of times that the forward pass will run in the training run."""
    jit_compile: bool | Literal["auto"] = "auto"
    """Setting `compile.jit_compile` of the config."""
    live_scales: Mapping[str, Tensor] = field(default_factory=dict)
    """Mapping from a parameter update's name to its loss scale (of mixed precision), which changes during training."""
    rules: Callable[[], Sequence[Written]] = list
    """Function that returns the optimizers' update rules to compile; it copies weights, so call it late."""
    trained: bool = False
    """True if the run has been trained in its execution mode, whose graph was verified when the run began."""

    @property
    def device(self) -> torch.device:
        return next(iter(self.batches[0].inputs.values())).device


Runner = Callable[[Batch, draws.Draws], StepOutcome]
"""Type of functions that run a forward pass and its backward pass: (batch, random numbers of the step) -> StepOutcome
(losses, gradients ...)."""


class Eager:
    """Callable that runs a forward and a backward pass eagerly: (batch, random numbers) -> StepOutcome (gradients ...).

    A forward pass has one or more parameter updates: each is an optimizer, with a loss and the weights that it updates
    by the gradients of this loss. The gradients are computed here, the weights are not changed. `live_scales` maps the
    names of parameter updates (`ParameterUpdate.name`) to loss scales of mixed precision that change in training, as
    scalar tensors (None: none change). The other updates use the fixed scale of their optimizer, if it has one.
    Gradients are those of the scaled losses; the losses in the StepOutcome are not scaled.
    """

    def __init__(self, forward_pass: ForwardPass, live_scales: Mapping[str, Tensor] | None = None) -> None:
        self.module = forward_pass.module
        scales, names = live_scales or {}, [update.name for update in forward_pass.updates]
        self.live_scales = {name: scales[name] for name in names if name in scales}
        self._updates: list[tuple[list[Tensor], Tensor | float | None]] = []
        for update in forward_pass.updates:
            scale = self.live_scales.get(update.name, update.optimizer.rule.loss_scale_factor)
            self._updates.append(([weight.tensor for weight in update.weights], scale))

    def __call__(self, batch: Batch, numbers: draws.Draws) -> StepOutcome:
        with draws.using(numbers):
            return self.run(batch)

    def run(self, batch: Batch) -> StepOutcome:
        """Run a forward and a backward pass on a batch; return losses, metric states, gradients ... as StepOutcome.

        Random numbers are drawn from the caller's source.
        """
        with span("forward"):
            outcome = self.module(batch)
        with span("backward"):
            for number, ((trained, scale), total) in enumerate(zip(self._updates, outcome.totals, strict=True), 1):
                refuse_idle(total)
                scaled = total if scale is None else total * scale
                last = number == len(self._updates)
                outcome.gradients += torch.autograd.grad(scaled, trained, retain_graph=not last, allow_unused=True)
        return replace(outcome, totals=[total.detach() for total in outcome.totals])


def refuse_idle(total: Tensor) -> None:
    """Raise ConfigError if a loss depends on no trainable weight."""
    if not total.requires_grad:
        raise ConfigError("no loss depends on a trainable weight: there is nothing to fit")


_PIECE = 2**18


def largest_difference(results: StepOutcome, expected: StepOutcome) -> float:
    """Return the largest relative difference between two results of a forward and backward pass.

    A traced graph is verified by this difference. Each loss, metric state and new value of a weight is compared
    relative to its largest magnitude. All gradients are compared relative to the largest of them, since a gradient may
    be zero but for rounding, such as that of a bias before a batch normalization.
    """
    kinds: list[list[tuple[Tensor | None, Tensor | None]]] = [
        *([pair] for pair in zip(results.totals, expected.totals, strict=True)),
        *([pair] for pair in zip(results.states, expected.states, strict=True)),
        list(zip(results.gradients, expected.gradients, strict=True)),
        *([(results.updates.get(name), value)] for name, value in expected.updates.items()),
    ]
    return max(map(_apart, kinds))


def _apart(pairs: Sequence[tuple[Tensor | None, Tensor | None]]) -> float:
    apart = size = 0.0
    for result, expected in pairs:
        if result is None or expected is None:
            if result is not expected:
                return math.inf
        elif result.shape != expected.shape or result.dtype != expected.dtype:
            return math.inf
        elif expected.numel():
            # piece by piece: memory use peaks here
            for ours, theirs in zip(result.flatten().split(_PIECE), expected.flatten().split(_PIECE), strict=True):
                size = max(size, theirs.abs().max().item())
                apart = max(apart, (ours - theirs).abs_().nan_to_num_(math.inf).max().item())
    return apart / size if size else apart
