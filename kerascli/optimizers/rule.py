"""Compilation of an optimizer's update rule into a single pass over memory, and operations for such rules."""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from kerascli.optimizers.base import Optimizer, State, UpdateContext

Rule = Callable[[Tensor, Tensor, State, UpdateContext], None]
"""Type of an optimizer's update function: (weight, gradient, state, context); it changes weight and state in place."""


class Written(NamedTuple):
    """Update rule of an optimizer as a function of tensors only; step number and learning rate are tensors, too.

    Some of the tensors are changed in place.
    """

    function: Callable[..., None]
    examples: list[Tensor]
    """Example arguments for the function, from which a compiler takes shapes and dtypes."""


Compiler = Callable[[Written], Callable[..., object]]
"""Type of a function that compiles an optimizer's update rule for arguments like its examples."""


def write(optimizer: Optimizer, weights: Tensor, slots: State) -> Written:
    """Return an optimizer's update rule as a function of tensors, with copies of `weights` and `slots` (state vectors)
    as examples."""
    names = list(slots)

    def function(weight: Tensor, gradient: Tensor, *rest: Tensor) -> None:
        *state, step, rate = rest
        context = UpdateContext(cast(int, step), cast(float, rate))
        optimizer.update(weight, gradient, dict(zip(names, state, strict=True)), context)

    gradient = torch.linspace(-1, 1, weights.numel(), dtype=weights.dtype)
    fresh = [weights.clone(), gradient, *(slots[name].clone() for name in names)]
    return Written(function, [*fresh, *_numbers(UpdateContext(1, 0.1))])


def compiled_rule(optimizer: Optimizer, weights: Tensor, slots: State, compiler: Compiler) -> Rule:
    """Compile an optimizer's update rule for the weights and state vectors `slots`, and compare it with the original.

    Raises ValueError if their results differ, and whatever `compiler` raises, as for a rule that needs step and
    learning rate as Python numbers.
    """
    names, written = list(slots), write(optimizer, weights, slots)
    gradient, fresh = written.examples[1], written.examples[:-2]
    compiled = compiler(written)

    def rule(weight: Tensor, gradient: Tensor, state: State, context: UpdateContext) -> None:
        compiled(weight, gradient, *(state[name] for name in names), *_numbers(context))

    results = []
    for each in (rule, optimizer.update):
        weight, _, *state = (tensor.clone() for tensor in fresh)
        for step in (1, 2):
            each(weight, gradient, dict(zip(names, state, strict=True)), UpdateContext(step, 0.1 / step))
        results.append([weight, *state])
    for result, expected in zip(*results, strict=True):
        if not torch.allclose(result, expected, rtol=1e-4, atol=1e-6):
            raise ValueError("a compiled rule gives other numbers")
    return rule


def _numbers(context: UpdateContext) -> list[Tensor]:
    return [torch.tensor(number, dtype=torch.float64) for number in (context.step, context.learning_rate)]


def add(weight: Tensor, x: Tensor, factor: float | Tensor) -> None:
    """Compute weight += factor * x in place; the factor is a number or, in compiled rules, a scalar tensor."""
    if isinstance(factor, Tensor):
        weight.add_(x * factor)
    else:
        weight.add_(x, alpha=factor)


def add_product(weight: Tensor, a: Tensor, b: Tensor, factor: float | Tensor) -> None:
    """Compute weight += factor * a * b in place; the factor is a number or, in compiled rules, a scalar tensor."""
    if isinstance(factor, Tensor):
        weight.add_(a * b * factor)
    else:
        weight.addcmul_(a, b, value=factor)


def add_quotient(weight: Tensor, a: Tensor, b: Tensor, factor: float | Tensor) -> None:
    """Compute weight += factor * a / b in place; the factor is a number or, in compiled rules, a scalar tensor."""
    if isinstance(factor, Tensor):
        weight.add_(a / b * factor)
    else:
        weight.addcdiv_(a, b, value=factor)
