"""Sum of a tensor over all processes as a torch operator, which traced and compiled graphs may contain.

Every process must run the same sums in the same order, in graphs, too: tracing makes each sum depend on the one before
by the argument `after`, and no sum is dropped because its result is unused. The operator has a gradient: losses are
means over a process's rows, and the batch's loss is their mean weighted by rows, so a gradient is the weighted sum of
the gradients of all processes.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.fx.node import has_side_effect

from kerascli.foundation.replaced import replaced
from kerascli.training.strategies.group import Group

_group = Group()
"""Group of processes over which the operator sums."""


@torch.library.custom_op("kerascli::process_sum", mutates_args=())
def _process_sum(x: Tensor, share: float, after: Tensor | None = None) -> Tensor:
    return _group.added(x if share else torch.zeros_like(x))


@_process_sum.register_fake
def _(x: Tensor, share: float, after: Tensor | None = None) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _keep_share(ctx: Any, inputs: tuple[Tensor, float, Tensor | None], output: Tensor) -> None:
    ctx.share = inputs[1]


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    share = ctx.share
    total = _process_sum(grad * share, share)
    return (total / share if share else torch.zeros_like(total)), None, None


_process_sum.register_autograd(_gradient, setup_context=_keep_share)
has_side_effect(torch.ops.kerascli.process_sum.default)


def process_sum(group: Group) -> Callable[[Tensor, float], Tensor]:
    """Return a function (tensor, this process's share of the batch's rows) -> sum of the tensor over all processes.

    The function is a torch operator with a gradient, which sums over the processes of `group`. The share, a fraction,
    weights the process's gradient, not its tensor in the sum; but a process with a share of 0 contributes zeros to the
    sum, and gets a gradient of zeros. A later call of `process_sum` changes the group of all these functions.
    """
    global _group
    _group = group
    return _process_sum


def one_process() -> AbstractContextManager[None]:
    """Return a context manager in which functions of `process_sum` sum over this process alone.

    Processes may then run different numbers of sums.
    """
    return replaced(sys.modules[__name__], "_group", Group())
