"""Indexing of tensors in formulas, `x[...]`, as in NumPy: by integers and slices, and by integer tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, describe


def index(x: Tensor, items: Sequence[Any]) -> Tensor:
    """Index a tensor by integers, slices (also with negative steps), `...`, None (a new axis) and integer tensors."""
    if sum(item is Ellipsis for item in items) > 1:
        raise ArgumentError("an index can have only one '...'")
    used = sum(item is not None and item is not Ellipsis for item in items)
    if used > x.ndim:
        raise ArgumentError(f"too many indices: {used} for a tensor of {x.ndim} axes")
    found: list[Any] = []
    axis = 0
    for item in items:
        if item is Ellipsis:
            found += [slice(None)] * (x.ndim - used)
            axis += x.ndim - used
            continue
        if isinstance(item, slice):
            x, item = _forwards(x, item, axis)
        found.append(_checked(item))
        axis += item is not None
    return x[tuple(found)]


def _forwards(x: Tensor, part: slice, axis: int) -> tuple[Tensor, slice]:
    """Apply a slice with a negative step, which torch lacks, to `x`; return the result and the slice left to apply."""
    if part.step is None or part.step > 0:
        return x, part
    if part.step == 0:
        raise ArgumentError("the step of a slice cannot be 0")
    places = range(*part.indices(x.shape[axis]))
    if not places:
        return x.narrow(axis, 0, 0), slice(None)
    taken = x[(*[slice(None)] * axis, slice(places[-1], places[0] + 1, -part.step))]
    return taken.flip(axis), slice(None)


def _checked(item: Any) -> Any:
    if item is None or isinstance(item, slice) or (isinstance(item, int) and not isinstance(item, bool)):
        return item
    if isinstance(item, Tensor) and not item.is_floating_point():
        if item.dtype == torch.bool:
            raise ArgumentError(
                "a boolean index is not supported, since its number of values is unknown; use where(...)"
            )
        return item.long()
    raise ArgumentError(f"expected an integer, a slice or an integer tensor as index, got {describe(item)}")
