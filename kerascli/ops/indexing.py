"""Operations that look up, sort, cumulate or scatter elements of tensors, or reduce segments of them."""

import math

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, Sizes, as_float, dtype_beside, dtype_of, one_axis, op


@op(keeps_integers=True)
def take(x: Tensor, indices: Tensor, axis: int | None = None) -> Tensor:
    """Take entries at the given indices (negative: from the end) along `axis`, by default of the flattened tensor."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, one_axis(x, axis))
    places = _from_the_end(indices, x.shape[axis])
    found = x.index_select(axis, places.reshape(-1))
    return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


@op(keeps_integers=True)
def take_along_axis(x: Tensor, indices: Tensor, axis: int | None = None) -> Tensor:
    """Take one entry per index along `axis`, for indices as from argsort; by default from the flattened tensor."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.take_along_dim(x, _from_the_end(indices, x.shape[axis]), axis)


def _from_the_end(indices: Tensor, size: int) -> Tensor:
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


@op(keeps_integers=True)
def one_hot(x: Tensor, num_classes: int, axis: int = -1, dtype: str | None = None) -> Tensor:
    """Encode integers as one-hot vectors; integers out of range become vectors of zeros."""
    classes = torch.arange(num_classes, device=x.device)
    found = (x.long().unsqueeze(-1) == classes).to(dtype_of(dtype))
    return found.movedim(-1, axis)


@op(keeps_integers=True)
def multi_hot(inputs: Tensor, num_classes: int, axis: int = -1, dtype: str | None = None) -> Tensor:
    """Encode each row of integers as one multi-hot vector."""
    return one_hot(inputs, num_classes, axis, dtype).amax(1 if inputs.ndim > 1 else 0)


@op(keeps_integers=True)
def sort(x: Tensor, axis: int | None = -1) -> Tensor:
    """Sort elements in ascending order along `axis`; null flattens the tensor first."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.sort(x, dim=axis, stable=True).values


@op(keeps_integers=True)
def argsort(x: Tensor, axis: int | None = -1) -> Tensor:
    """Return the indices that sort a tensor along `axis` in ascending order; null flattens the tensor first."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.argsort(x, dim=axis, stable=True).to(torch.int32)


@op(keeps_integers=True)
def top_k(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """Return the k largest values of the last axis and their indices: two tensors."""
    values, places = torch.topk(x, k, sorted=sorted)
    return values, places.to(torch.int32)


@op(keeps_integers=True)
def in_top_k(targets: Tensor, predictions: Tensor, k: int) -> Tensor:
    """Return True for each row whose target class is among the k largest predictions."""
    least = torch.topk(predictions, k).values[..., -1:]
    return (torch.take_along_dim(predictions, targets.long()[:, None], -1) >= least)[:, 0]


@op(keeps_integers=True)
def cumsum(x: Tensor, axis: int | None = None, dtype: str | None = None) -> Tensor:
    """Compute the cumulative sum along `axis`, by default of the flattened tensor."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.cumsum(x, axis, dtype=None if dtype is None else dtype_of(dtype))


@op(keeps_integers=True)
def cumprod(x: Tensor, axis: int | None = None, dtype: str | None = None) -> Tensor:
    """Compute the cumulative product along `axis`, by default of the flattened tensor."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.cumprod(x, axis, dtype=None if dtype is None else dtype_of(dtype))


@op()
def diff(a: Tensor, n: int = 1, axis: int = -1) -> Tensor:
    """Compute the n-th discrete difference along an axis."""
    return torch.diff(a, n, axis)


@op()
def trapezoid(y: Tensor, x: Tensor | None = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """Integrate along an axis by the trapezoidal rule."""
    return torch.trapezoid(y, x, dim=axis) if x is not None else torch.trapezoid(y, dx=dx, dim=axis)


@op()
def searchsorted(sorted_sequence: Tensor, values: Tensor, side: str = "left") -> Tensor:
    """Return, for each value, the index in a sorted vector before which it would be inserted."""
    if side not in {"left", "right"}:
        raise ArgumentError(f"searchsorted: side: expected 'left' or 'right', got '{side}'")
    return torch.searchsorted(sorted_sequence, values.contiguous(), side=side).to(torch.int32)


@op(keeps_integers=True)
def digitize(x: Tensor, bins: Tensor) -> Tensor:
    """Return the index of the bin of each element; `bins` are the edges, in ascending order."""
    return torch.bucketize(as_float(x), bins.to(as_float(x).dtype), right=True).to(torch.int32)


@op()
def segment_sum(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Compute the sum of the rows of each segment id; ids out of range are ignored."""
    return _by_segment(data, segment_ids, num_segments, "sum", 0.0)


@op()
def segment_max(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Compute the maximum of the rows of each segment id; -inf for ids without rows."""
    return _by_segment(data, segment_ids, num_segments, "amax", -torch.inf)


@op()
def segment_min(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Compute the minimum of the rows of each segment id; inf for ids without rows."""
    return _by_segment(data, segment_ids, num_segments, "amin", torch.inf)


@op()
def segment_prod(data: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Compute the product of the rows of each segment id; 1 for ids without rows."""
    return _by_segment(data, segment_ids, num_segments, "prod", 1.0)


@op()
def isin(x1: Tensor, x2: Tensor, *, invert: bool = False) -> Tensor:
    """Return True for each element of x1 that is an element of x2."""
    return torch.isin(x1, x2, invert=invert)


def _by_segment(data: Tensor, segment_ids: Tensor, count: int, reduction: str, empty: float) -> Tensor:
    ids = segment_ids.long()
    ids = torch.where((ids >= 0) & (ids < count), ids, count)  # an additional segment, dropped at the end
    out = torch.full((count + 1, *data.shape[1:]), empty, dtype=data.dtype, device=data.device)
    where = ids.reshape(-1, *[1] * (data.ndim - 1)).expand_as(data)
    return out.scatter_reduce(0, where, data, reduction)[:-1]


@op()
def scatter(indices: Tensor, values: Tensor, shape: list) -> Tensor:  # type: ignore[type-arg]
    """Build a tensor of zeros and add `values` at positions, which are vectors on the last axis of `indices`."""
    out = torch.zeros(tuple(shape), dtype=values.dtype, device=values.device)
    return out.index_put(indices.long().unbind(-1), values, accumulate=True)


@op(keeps_integers=True)
def scatter_update(inputs: Tensor, indices: Tensor, updates: Tensor, reduction: str | None = None) -> Tensor:
    """Replace values by `updates`, or combine both by add, max, min or mul, at positions (last axis of `indices`)."""
    inputs = inputs.to(dtype_beside(inputs, updates))
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


@op(keeps_integers=True)
def extract_sequences(x: Tensor, sequence_length: int, sequence_stride: int) -> Tensor:
    """Extract windows along the last axis; a new axis before it has the windows."""
    return x.unfold(-1, sequence_length, sequence_stride)


@op(keeps_integers=True)
def argpartition(x: Tensor, kth: int, axis: int | None = -1) -> Tensor:
    """Return indices that partition an axis: the kth smallest at index kth, smaller ones before, larger ones after."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    if not -x.shape[axis] <= kth < x.shape[axis]:
        raise ArgumentError(f"argpartition: kth: expected an index of an axis of {x.shape[axis]}, got {kth}", "kth")
    return argsort(x, axis)


@op(keeps_integers=True)
def unravel_index(indices: Tensor, shape: Sizes) -> list[Tensor]:
    """Convert indices of a flattened tensor to one tensor of indices per axis of `shape`."""
    found: list[Tensor] = []
    rest = _from_the_end(indices, math.prod(shape))
    for size in reversed(shape):
        found.append(rest.remainder(size).to(indices.dtype))
        rest = rest.floor_divide(size)
    return found[::-1]
