"""Operations that look up, sort, cumulate, count or scatter elements of tensors, or reduce segments of them."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from kerascli.ops.base import Numbers, Refusal, Sizes, as_float, common_dtype, dtype_of, one_axis, op, table


def _flat_or_along(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function that is applied along an axis, or with an axis of None to the flattened tensor."""

    def call(x: Tensor, axis: int | None, dtype: torch.dtype | None = None) -> Tensor:
        x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
        return function(x, axis) if dtype is None else function(x, axis, dtype=dtype)

    return call


def _without_nan(function: Callable[..., Tensor], value: float) -> Callable[..., Tensor]:
    return lambda x, *arguments: function(torch.where(x.isnan(), value, x), *arguments)


def _argsort(x: Tensor, axis: int) -> Tensor:
    return torch.argsort(x, dim=axis, stable=True).to(torch.int32)


def _segments(reduction: str, empty: float) -> Callable[..., Tensor]:
    """Return an operation that reduces the rows of each segment id; `empty` is the result of an id without rows."""

    def call(data: Tensor, segment_ids: Tensor, count: int) -> Tensor:
        ids = segment_ids.long()
        ids = torch.where((ids >= 0) & (ids < count), ids, count)  # an additional segment, dropped at the end
        out = torch.full((count + 1, *data.shape[1:]), empty, dtype=data.dtype, device=data.device)
        where = ids.reshape(-1, *[1] * (data.ndim - 1)).expand_as(data)
        return out.scatter_reduce(0, where, data, reduction)[:-1]

    return call


_CUMULATIVE = "x, axis: int | None = None, dtype: str | None = None"
table({
    "sort(x, axis: int | None = -1)": (_flat_or_along(lambda x, axis: torch.sort(x, dim=axis, stable=True).values),
        "Sort elements in ascending order along `axis`; null flattens the tensor first."),
    "argsort(x, axis: int | None = -1)": (_flat_or_along(_argsort),
        "Return the indices that sort a tensor along `axis` in ascending order; null flattens the tensor first."),
    "cumsum": (_flat_or_along(torch.cumsum),
        "Compute the cumulative sum along `axis`, by default of the flattened tensor."),
    "cumprod": (_flat_or_along(torch.cumprod),
        "Compute the cumulative product along `axis`, by default of the flattened tensor."),
    "digitize(x, bins)": (
        lambda x, bins: torch.bucketize(as_float(x), bins.to(as_float(x).dtype), right=True).to(torch.int32),
        "Return the index of the bin of each element; `bins` are the edges, in ascending order."),
    "extract_sequences(x, sequence_length: int, sequence_stride: int)": (
        lambda x, length, stride: x.unfold(-1, length, stride),
        "Extract windows along the last axis; a new axis before it has the windows."),
}, _CUMULATIVE, keeps_integers=True)  # fmt: skip
table({
    "nancumsum": (_without_nan(_flat_or_along(torch.cumsum), 0.0),
        "Compute the cumulative sum along `axis`, with NaN as 0; by default of the flattened tensor."),
    "nancumprod": (_without_nan(_flat_or_along(torch.cumprod), 1.0),
        "Compute the cumulative product along `axis`, with NaN as 1; by default of the flattened tensor."),
}, _CUMULATIVE)  # fmt: skip
table({
    "segment_sum": (_segments("sum", 0.0),
        "Compute the sum of the rows of each segment id; ids out of range are ignored."),
    "segment_max": (_segments("amax", -torch.inf),
        "Compute the maximum of the rows of each segment id; -inf for ids without rows."),
    "segment_min": (_segments("amin", torch.inf),
        "Compute the minimum of the rows of each segment id; inf for ids without rows."),
    "segment_prod": (_segments("prod", 1.0),
        "Compute the product of the rows of each segment id; 1 for ids without rows."),
    "diff(a, n = 1, axis = -1)": (torch.diff, "Compute the n-th discrete difference along an axis."),
}, "data, segment_ids, num_segments: int")  # fmt: skip


@op(keeps_integers=True)
def take(x: Tensor, indices: Tensor, axis: int | None = None) -> Tensor:
    """Take entries at the given indices (negative: from the end) along `axis`, by default of the flattened tensor."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, one_axis(x, axis))
    places = _from_the_end(indices, x.shape[axis])
    entries = x.index_select(axis, places.reshape(-1))
    return entries.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


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
    return (x.long().unsqueeze(-1) == classes).to(dtype_of(dtype)).movedim(-1, axis)


@op(keeps_integers=True)
def multi_hot(inputs: Tensor, num_classes: int, axis: int = -1, dtype: str | None = None) -> Tensor:
    """Encode each row of integers as one multi-hot vector."""
    return one_hot(inputs, num_classes, axis, dtype).amax(1 if inputs.ndim > 1 else 0)


@op()
def top_k(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """Return the k largest values of the last axis and their indices: two tensors."""
    values, places = torch.topk(x, k, sorted=sorted)
    return values, places.to(torch.int32)


@op()
def in_top_k(targets: Tensor, predictions: Tensor, k: int) -> Tensor:
    """Return True for each row whose target class is among the k largest predictions."""
    least = torch.topk(predictions, k).values[..., -1:]
    return (torch.take_along_dim(predictions, targets.long()[:, None], -1) >= least)[:, 0]


@op(keeps_integers=True)
def argpartition(x: Tensor, kth: int, axis: int | None = -1) -> Tensor:
    """Return indices that partition an axis: the kth smallest at index kth, smaller ones before, larger ones after."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    if not -x.shape[axis] <= kth < x.shape[axis]:
        raise Refusal(f"kth: expected an index of an axis of {x.shape[axis]}, got {kth}", "kth")
    return _argsort(x, axis)


@op()
def trapezoid(y: Tensor, x: Tensor | None = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """Integrate along an axis by the trapezoidal rule."""
    return torch.trapezoid(y, x, dim=axis) if x is not None else torch.trapezoid(y, dx=dx, dim=axis)


@op()
def searchsorted(sorted_sequence: Tensor, values: Tensor, side: Literal["left", "right"] = "left") -> Tensor:
    """Return, for each value, the index in a sorted vector before which it would be inserted."""
    return torch.searchsorted(sorted_sequence, values.contiguous(), side=side).to(torch.int32)


@op()
def isin(x1: Tensor, x2: Tensor, *, invert: bool = False) -> Tensor:
    """Return True for each element of x1 that is an element of x2."""
    return torch.isin(x1, x2, invert=invert)


@op()
def scatter(indices: Tensor, values: Tensor, shape: list) -> Tensor:  # type: ignore[type-arg]
    """Build a tensor of zeros and add `values` at positions, which are vectors on the last axis of `indices`."""
    out = torch.zeros(tuple(shape), dtype=values.dtype, device=values.device)
    return out.index_put(indices.long().unbind(-1), values, accumulate=True)


@op(keeps_integers=True)
def scatter_update(
    inputs: Tensor, indices: Tensor, updates: Tensor, reduction: Literal["add", "max", "min", "mul", None] = None
) -> Tensor:
    """Replace values by `updates`, or combine both by add, max, min or mul, at positions (last axis of `indices`)."""
    inputs = inputs.to(common_dtype(inputs, updates))
    places, updates = indices.long().unbind(-1), updates.to(inputs.dtype)
    if reduction is None or reduction == "add":
        return inputs.index_put(places, updates, accumulate=reduction == "add")
    rows = torch.zeros_like(places[0])
    for size, place in zip(inputs.shape, places, strict=False):
        rows = rows * size + place % size
    flat = inputs.flatten(0, len(places) - 1)
    kind = {"max": "amax", "min": "amin", "mul": "prod"}[reduction]
    return flat.index_reduce(0, rows, updates, kind).reshape(inputs.shape)


@op(keeps_integers=True)
def unravel_index(indices: Tensor, shape: Sizes) -> list[Tensor]:
    """Convert indices of a flattened tensor to one tensor of indices per axis of `shape`."""
    places: list[Tensor] = []
    rest = _from_the_end(indices, math.prod(shape))
    for size in reversed(shape):
        places.append(rest.remainder(size).to(indices.dtype))
        rest = rest.floor_divide(size)
    return places[::-1]


@op()
def histogram(x: Tensor, bins: int = 10, range: Numbers | None = None) -> tuple[Tensor, Tensor]:
    """Compute counts and edges of `bins` equal bins over `range`, by default from smallest to largest element."""
    values = as_float(x).reshape(-1).detach()
    if bins < 1:
        raise Refusal(f"bins: expected 1 or more, got {bins}", "bins")
    if range is None:
        low, high = values.amin(), values.amax()
        half = 0.5 * (low == high)  # a single value gets bins of nonzero width
        low, high = low - half, high + half
    elif len(range) == 2 and range[0] < range[1]:
        low, high = (torch.full((), float(end), dtype=values.dtype, device=values.device) for end in range)
    else:
        raise Refusal("range: expected [low, high], low below high", "range")
    shares = torch.arange(bins + 1, dtype=values.dtype, device=values.device) / bins
    edges = torch.where(shares == 1, high, low + (high - low) * shares)
    places = torch.searchsorted(edges, values, right=True) - 1
    places = torch.where(values == high, bins - 1, places)  # the last bin includes its upper edge
    places = torch.where((places >= 0) & (places < bins), places, bins)
    counts = torch.zeros(bins + 1, dtype=values.dtype, device=values.device)
    return counts.index_add(0, places, torch.ones_like(values))[:-1], edges
