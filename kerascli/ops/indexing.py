"""Operations that look values up, put them in order or count them."""

import math

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, Sizes, as_float, dtype_of, one_axis, op


@op()
def take(x: Tensor, indices: Tensor, axis: int | None = None) -> Tensor:
    """The entries of an axis at the given places; negative ones count from the end. Without an axis: of x as a row."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, one_axis(x, axis))
    places = _from_the_end(indices, x.shape[axis])
    found = x.index_select(axis, places.reshape(-1))
    return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


@op()
def take_along_axis(x: Tensor, indices: Tensor, axis: int | None = None) -> Tensor:
    """For each place along an axis its own entry: as argsort and argmax give them."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.take_along_dim(x, _from_the_end(indices, x.shape[axis]), axis)


def _from_the_end(indices: Tensor, size: int) -> Tensor:
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


@op()
def one_hot(x: Tensor, num_classes: int, axis: int = -1, dtype: str | None = None) -> Tensor:
    """A vector for each number with a 1 at its place; for numbers out of range nothing but 0."""
    classes = torch.arange(num_classes, device=x.device)
    found = (x.long().unsqueeze(-1) == classes).to(dtype_of(dtype))
    return found.movedim(-1, axis)


@op()
def multi_hot(inputs: Tensor, num_classes: int, axis: int = -1, dtype: str | None = None) -> Tensor:
    """A vector for each row with a 1 at the place of each of its numbers."""
    return one_hot(inputs, num_classes, axis, dtype).amax(1 if inputs.ndim > 1 else 0)


@op()
def sort(x: Tensor, axis: int | None = -1) -> Tensor:
    """From the smallest to the largest; axis None: all values in one axis."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.sort(x, dim=axis, stable=True).values


@op()
def argsort(x: Tensor, axis: int | None = -1) -> Tensor:
    """The places of the values from the smallest to the largest; axis None: all values in one axis."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.argsort(x, dim=axis, stable=True).to(torch.int32)


@op()
def top_k(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """Two tensors: the k largest values of the last axis, and their places."""
    values, places = torch.topk(x, k, sorted=sorted)
    return values, places.to(torch.int32)


@op()
def in_top_k(targets: Tensor, predictions: Tensor, k: int) -> Tensor:
    """True where the target's prediction is among the k largest of its row."""
    least = torch.topk(predictions, k).values[..., -1:]
    return (torch.take_along_dim(predictions, targets.long()[:, None], -1) >= least)[:, 0]


@op()
def cumsum(x: Tensor, axis: int | None = None, dtype: str | None = None) -> Tensor:
    """Sums of all values so far."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.cumsum(x, axis, dtype=None if dtype is None else dtype_of(dtype))


@op()
def cumprod(x: Tensor, axis: int | None = None, dtype: str | None = None) -> Tensor:
    """Products of all values so far."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.cumprod(x, axis, dtype=None if dtype is None else dtype_of(dtype))


@op()
def diff(a: Tensor, n: int = 1, axis: int = -1) -> Tensor:
    """Each value less the one before, n times."""
    return torch.diff(a, n, axis)


@op()
def trapezoid(y: Tensor, x: Tensor | None = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """The area below points, by trapezoids."""
    return torch.trapezoid(y, x, dim=axis) if x is not None else torch.trapezoid(y, dx=dx, dim=axis)


@op()
def searchsorted(sorted_sequence: Tensor, values: Tensor, side: str = "left") -> Tensor:
    """The places in a sorted vector before which the values belong."""
    if side not in {"left", "right"}:
        raise ArgumentError("searchsorted: side is 'left' or 'right'")
    return torch.searchsorted(sorted_sequence, values.contiguous(), side=side).to(torch.int32)


@op()
def digitize(x: Tensor, bins: Tensor) -> Tensor:
    """The number of the bin that each value falls into; bins are their limits, in order."""
    return torch.bucketize(as_float(x), bins.to(as_float(x).dtype), right=True).to(torch.int32)


@op()
def segment_sum(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """The sum of the rows of each number; rows of other numbers are left out."""
    return _by_segment(data, segment_ids, num_segments, "sum", 0.0)


@op()
def segment_max(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """The largest values of the rows of each number, -inf where there is none."""
    return _by_segment(data, segment_ids, num_segments, "amax", -torch.inf)


@op()
def segment_min(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """The smallest values of the rows of each number, inf where there is none."""
    return _by_segment(data, segment_ids, num_segments, "amin", torch.inf)


@op()
def segment_prod(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """The product of the rows of each number, 1 where there is none."""
    return _by_segment(data, segment_ids, num_segments, "prod", 1.0)


@op()
def isin(x1: Tensor, x2: Tensor, *, invert: bool = False) -> Tensor:
    """Whether each value of x1 is one of those of x2."""
    return torch.isin(x1, x2, invert=invert)


def _by_segment(data: Tensor, segment_ids: Tensor, count: int, reduction: str, empty: float) -> Tensor:
    ids = segment_ids.long()
    ids = torch.where((ids >= 0) & (ids < count), ids, count)  # a place of their own, which is left out
    out = torch.full((count + 1, *data.shape[1:]), empty, dtype=data.dtype, device=data.device)
    where = ids.reshape(-1, *[1] * (data.ndim - 1)).expand_as(data)
    return out.scatter_reduce(0, where, data, reduction)[:-1]


@op()
def scatter(indices: Tensor, values: Tensor, shape: list) -> Tensor:  # type: ignore[type-arg]
    """A tensor of zeros to which values are added at the places in the last axis of `indices`."""
    out = torch.zeros(tuple(shape), dtype=values.dtype, device=values.device)
    return out.index_put(indices.long().unbind(-1), values, accumulate=True)


@op()
def scatter_update(inputs: Tensor, indices: Tensor, updates: Tensor, reduction: str | None = None) -> Tensor:
    """The tensor with other values (or their sum, max, min, mul) at the places in the last axis of `indices`."""
    places, updates = indices.long().unbind(-1), updates.to(inputs.dtype)
    if reduction is None or reduction == "add":
        return inputs.index_put(places, updates, accumulate=reduction == "add")
    kinds = {"max": "amax", "min": "amin", "mul": "prod"}
    if reduction not in kinds:
        raise ArgumentError(f"scatter_update: reduction: expected add, max, min or mul, got '{reduction}'", "reduction")
    rows = torch.zeros_like(places[0])
    for size, place in zip(inputs.shape, places, strict=False):
        rows = rows * size + place % size
    flat = inputs.flatten(0, len(places) - 1)
    return flat.index_reduce(0, rows, updates, kinds[reduction]).reshape(inputs.shape)


@op()
def extract_sequences(x: Tensor, sequence_length: int, sequence_stride: int) -> Tensor:
    """Windows along the last axis, as a new axis before it."""
    return x.unfold(-1, sequence_length, sequence_stride)


@op()
def argpartition(x: Tensor, kth: int, axis: int | None = -1) -> Tensor:
    """Places of the values: the kth smallest at place kth, smaller ones before it, larger ones behind."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    if not -x.shape[axis] <= kth < x.shape[axis]:
        raise ArgumentError(f"argpartition: kth: expected a place of {x.shape[axis]}, got {kth}", "kth")
    return argsort(x, axis)


@op()
def unravel_index(indices: Tensor, shape: Sizes) -> list[Tensor]:
    """For places in a tensor as one row: a tensor of places for each axis of its shape."""
    found: list[Tensor] = []
    rest = _from_the_end(indices, math.prod(shape))
    for size in reversed(shape):
        found.append(rest.remainder(size).to(indices.dtype))
        rest = rest.floor_divide(size)
    return found[::-1]
