"""Result of a forward and backward pass as two vectors, so that all its tensors are summed over processes at once."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from kerascli.foundation.spans import span
from kerascli.training.objectives.outcome import Layout, StepOutcome
from kerascli.training.strategies.group import Group

Vectors = tuple[Tensor, Tensor]
"""Type of the result of a forward and backward pass (losses, gradients ...) as two vectors, `averaged` and `added`.

`averaged` (float32) has the values averaged over shards (parts of a batch), weighted by rows: losses, gradients, new
weights. `added` (float64) has metric states, integers and float64 values, then an element for each process, for its
signal or request to save.
"""


def sum_of_shards(make: Callable[[int], Vectors], first: int, stop: int) -> Vectors:
    """Return make(first) + ... + make(stop - 1), the results of shards, added as a balanced binary tree.

    `make` computes the result of the shard (part of a batch) with an index. The second half is added to the first half.
    """
    if stop - first == 1:
        return make(first)
    middle = (first + stop) // 2
    averaged, added = sum_of_shards(make, first, middle)
    others = sum_of_shards(make, middle, stop)
    return averaged.add_(others[0]), added.add_(others[1])


class Form(NamedTuple):
    """Form of a tensor (a loss, a gradient ...) of a StepOutcome, whose elements are in one of two vectors."""

    exact: bool
    """True if the vector is `added` (float64), False if it is `averaged` (float32)."""
    is_state: bool
    """True if the tensor is a metric state."""
    shape: torch.Size
    dtype: torch.dtype


class StepExchange:
    """Adder of the results (losses, gradients ...) of the shards (parts) of a batch, over all processes.

    With `in_order`, the terms are added in a fixed order, so that the sum does not depend on the number of processes,
    which must be a power of two.
    """

    def __init__(self, group: Group, *, in_order: bool) -> None:
        self._group = group
        self._in_order = in_order
        self._layout: Layout | None = None
        self._forms: list[Form | None] = []
        """Forms of the StepOutcome's tensors, in order; None for a tensor that is None."""

    def flat(self, outcome: StepOutcome, share: float, *, first: bool) -> Vectors:
        """Return `outcome`, a shard's result (StepOutcome: losses, gradients ...), as two vectors to be added over the
        shards: gradients and other values in float32, and sums in float64, metric states among them.

        A shard is a part of a batch. All values but metric states are multiplied by `share`, its share of the rows.
        Integers are taken only from the first shard that has rows, for which `first` is true; for other shards they are
        0.
        """
        tensors, device = outcome.flat(), outcome.totals[0].device
        if self._layout is None:
            self._layout = outcome.layout()
            states = range(self._layout.totals, self._layout.totals + self._layout.states)
            self._forms = [None if x is None else _form(x, number in states) for number, x in enumerate(tensors)]
        averaged = [torch.zeros(0, device=device)]
        added = [torch.zeros(0, dtype=torch.float64, device=device)]
        for form, tensor in zip(self._forms, tensors, strict=True):
            if form is None or tensor is None:
                assert form is tensor, "which weights have a gradient does not depend on the rows"
            elif not form.exact:
                averaged.append(tensor.reshape(-1).float())
            elif form.is_state:
                added.append(tensor.reshape(-1).double())
            else:
                added.append(tensor.reshape(-1).double() * (share if tensor.is_floating_point() else float(first)))
        added.append(torch.zeros(self._group.world.size, dtype=torch.float64, device=device))
        return torch.cat(averaged).mul_(share), torch.cat(added)

    def summed(self, vectors: Vectors) -> StepOutcome:
        """Return the sum of all processes' results as a StepOutcome (losses, gradients ...).

        Its tensors are views of the vectors where dtypes are equal, else copies. The same all-reduce exchanges signals
        and requests to save a checkpoint among the processes.
        """
        assert self._layout is not None
        world, notices = self._group.world, self._group.notices
        numbers = vectors[1][-world.size :]
        if notices.own:
            numbers[world.rank].fill_(notices.own)  # a copy of a tensor would wait for a GPU
        with span("exchange"):
            self._group.add(vectors, in_order=self._in_order)
        notices.keep(numbers)
        ends, values = [0, 0], list[Tensor | None]()
        for form in self._forms:
            if form is None:
                values.append(None)
                continue
            start, ends[form.exact] = ends[form.exact], ends[form.exact] + form.shape.numel()
            values.append(vectors[form.exact][start : ends[form.exact]].view(form.shape).to(form.dtype))
        return self._layout.outcome(values)


def _form(tensor: Tensor, is_state: bool) -> Form:
    exact = is_state or not tensor.is_floating_point() or tensor.dtype == torch.float64
    return Form(exact, is_state, tensor.shape, tensor.dtype)
