"""An update rule that is compiled into one pass over memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from kerascli.optimizers.base import Moment, Optimizer

Rule = Callable[[Tensor, Tensor, Mapping[str, Tensor], Moment], None]
"""`update` of an optimizer: (weight, gradient, state, moment), of which it changes the first and the third."""


@dataclass(frozen=True, slots=True)
class Written:
    """A rule as a function of tensors alone, that writes into some of them; step and rate are tensors to it."""

    function: Callable[..., None]
    examples: list[Tensor]
    """Arguments like those of a step."""


Compiler = Callable[[Written], Callable[..., object]]
"""A function -> the same, compiled for arguments like its examples."""


def write(optimizer: Optimizer, weights: Tensor, slots: Mapping[str, Tensor]) -> Written:
    """The rule for vectors like these."""
    names = list(slots)

    def function(weight: Tensor, gradient: Tensor, *others: Tensor) -> None:
        *state, step, rate = others
        moment = Moment(cast(int, step), cast(float, rate))
        optimizer.update(weight, gradient, dict(zip(names, state, strict=True)), moment)

    gradient = torch.linspace(-1, 1, weights.numel(), dtype=weights.dtype)
    fresh = [weights.clone(), gradient, *(slots[name].clone() for name in names)]
    return Written(function, [*fresh, *_numbers(Moment(1, 0.1))])


def compiled_rule(optimizer: Optimizer, weights: Tensor, slots: Mapping[str, Tensor], compiler: Compiler) -> Rule:
    """The rule for vectors like these, tried once beside the plain one.

    Raises ValueError where they differ, and whatever `compiler` raises, as for a rule that needs step and rate as
    Python's numbers.
    """
    names, written = list(slots), write(optimizer, weights, slots)
    gradient, fresh = written.examples[1], written.examples[:-2]
    compiled = compiler(written)

    def rule(weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], moment: Moment) -> None:
        compiled(weight, gradient, *(state[name] for name in names), *_numbers(moment))

    results = []
    for each in (rule, optimizer.update):
        weight, _, *state = (tensor.clone() for tensor in fresh)
        for step in (1, 2):
            each(weight, gradient, dict(zip(names, state, strict=True)), Moment(step, 0.1 / step))
        results.append([weight, *state])
    for found, wanted in zip(*results, strict=True):
        if not torch.allclose(found, wanted, rtol=1e-4, atol=1e-6):
            raise ValueError("a compiled rule gives other numbers")
    return rule


def _numbers(moment: Moment) -> list[Tensor]:
    return [torch.tensor(number, dtype=torch.float64) for number in (moment.step, moment.learning_rate)]
