"""An update as a flat program: forward and backward as one list of torch operations, with no Python between them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, fx

from kerascli import draws
from kerascli.compiler.tracing import note
from kerascli.data.batches.loader import Batch
from kerascli.model.runtime.weights import Weight
from kerascli.spans import span
from kerascli.training.train_step import Update

Scale = float | Tensor | None
"""What multiplies the loss that is differentiated; a tensor is read anew at each step."""

Numbers = list[tuple[str, draws.Draw]]
"""What a step draws, and where."""


@dataclass(slots=True)
class StepOutcome:
    """What a step comes to before the weights change."""

    totals: list[Tensor]
    """The losses that were descended: a scalar for each learner."""
    states: list[Tensor]
    """Of the figures; those of batches add up."""
    gradients: list[Tensor | None]
    """In the order of the learners and their weights; None where the loss does not depend on one."""
    updates: dict[str, Tensor]
    """New values of non-trainable weights, by weight name."""


class Learner(NamedTuple):
    """Weights that descend one of an update's losses; `scale` multiplies what is differentiated."""

    trained: Sequence[Tensor]
    scale: Scale = None


def run_plain(update: Update, learners: Sequence[Learner], batch: Batch) -> StepOutcome:
    """Forward and backward by torch's autograd: all gradients before any weight changes."""
    with span("forward"):
        outcome = update(batch)
    totals, gradients = outcome.judgement.totals, []
    with span("backward"):
        for number, (learner, total) in enumerate(zip(learners, totals, strict=True), start=1):
            scaled = total if learner.scale is None else total * learner.scale
            last = number == len(learners)
            gradients += torch.autograd.grad(scaled, learner.trained, retain_graph=not last, allow_unused=True)
    return StepOutcome([total.detach() for total in totals], outcome.judgement.states, gradients, outcome.updates)


@dataclass(frozen=True, slots=True)
class Program:
    """The operations of `run_plain` for batches of one size: (weights, batch, numbers) -> outcome.

    The program reads the weights where they lie, and a scale that may change; nothing else of the model.
    """

    code: fx.GraphModule
    numbers: Numbers
    weights: tuple[Tensor, ...]
    rows: int
    totals: int
    states: int
    gradients: int
    updates: tuple[str, ...]

    def inputs(self, batch: Batch, numbers: draws.Draws) -> list[Tensor]:
        """The flat arguments of the code for a step."""
        drawn = [numbers.make_at(place, draw) for place, draw in self.numbers]
        return [*self.weights, *_leaves(batch), *drawn]

    def outcome(self, found: Sequence[Tensor | None]) -> StepOutcome:
        """What the code has returned, in order."""
        first, second = self.totals + self.states, self.totals + self.states + self.gradients
        totals, states, updates = found[: self.totals], found[self.totals : first], found[second:]
        return StepOutcome(
            [total for total in totals if total is not None],
            [state for state in states if state is not None],
            list(found[first:second]),
            {name: value for name, value in zip(self.updates, updates, strict=True) if value is not None},
        )


def trace(update: Update, weights: Sequence[Weight], learners: Sequence[Learner], batch: Batch) -> Program:
    """Note the operations of a step on a batch. Raises what torch raises where Python looks at a value."""
    tape = draws.Tape()
    with torch.no_grad(), draws.using(tape):
        update(batch)
    step = draws.Draws(0, "trace", 0)
    drawn = [step.make_at(place, draw) for place, draw in tape.draws]
    scales = [learner.scale for learner in learners if isinstance(learner.scale, Tensor)]
    tensors = [*(weight.tensor for weight in weights), *scales]
    noted: list[StepOutcome] = []
    size = len(tensors) + len(_leaves(batch))

    def run(*flat: Tensor) -> list[Tensor | None]:
        # The weights are known by identity: the model reads its own, which are the first arguments.
        with torch.enable_grad(), draws.using(draws.Replay(flat[size:])):
            found = run_plain(update, learners, _like(batch, flat[len(tensors) : size]))
        noted.append(found)
        return [*found.totals, *found.states, *found.gradients, *found.updates.values()]

    code = note(run, [*tensors, *_leaves(batch), *drawn])
    found = noted[0]
    return Program(
        code, tape.draws, tuple(tensor.detach() for tensor in tensors), batch.rows,
        len(found.totals), len(found.states), len(found.gradients), tuple(found.updates),
    )  # fmt: skip


_PIECE = 2**18


def largest_difference(found: StepOutcome, wanted: StepOutcome) -> float:
    """How far two outcomes are apart: the largest difference, by the largest number of its kind.

    Gradients are one kind: one that is zero but for rounding, such as that of a bias before a batch normalization,
    is small by the others.
    """
    kinds: list[list[tuple[Tensor | None, Tensor | None]]] = [
        *([pair] for pair in zip(found.totals, wanted.totals, strict=True)),
        *([pair] for pair in zip(found.states, wanted.states, strict=True)),
        list(zip(found.gradients, wanted.gradients, strict=True)),
        *([(found.updates.get(name), value)] for name, value in wanted.updates.items()),
    ]
    return max(map(_apart, kinds))


def _apart(pairs: Sequence[tuple[Tensor | None, Tensor | None]]) -> float:
    apart = size = 0.0
    for found, wanted in pairs:
        if found is None or wanted is None:
            if found is not wanted:
                return math.inf
        elif found.shape != wanted.shape or found.dtype != wanted.dtype:
            return math.inf
        elif wanted.numel():
            # piece by piece: this is when a run takes the most memory
            for ours, theirs in zip(found.flatten().split(_PIECE), wanted.flatten().split(_PIECE), strict=True):
                size = max(size, theirs.abs().max().item())
                apart = max(apart, (ours - theirs).abs_().nan_to_num_(math.inf).max().item())
    return apart / size if size else apart


def _leaves(batch: Batch) -> list[Tensor]:
    return [*batch.inputs.values(), *batch.targets.values(), *batch.sample_weight.values()]


def _like(batch: Batch, leaves: Sequence[Tensor]) -> Batch:
    """The same batch with other tensors."""
    remaining = iter(leaves)
    inputs, targets, weights = (
        {name: next(remaining) for name in section} for section in (batch.inputs, batch.targets, batch.sample_weight)
    )
    return Batch(inputs, targets, weights, batch.rows)


Runner = Callable[[Batch, draws.Draws], StepOutcome]
"""(batch, this step's numbers) -> what the step comes to."""
