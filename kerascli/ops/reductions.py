"""Operations that make one value of many, along axes: all axes where none is given."""

from collections.abc import Callable

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, Axes, Value, all_axes, as_float, as_tensor, dtype_of, one_axis, op


@op("sum")
def sum_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The sum."""
    return torch.sum(x, all_axes(x, axis), keepdim=keepdims) if axis != [] else x


@op()
def mean(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean."""
    return torch.mean(as_float(x), all_axes(x, axis), keepdim=keepdims)


@op()
def var(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The variance, divided by the number of values."""
    return torch.var(as_float(x), all_axes(x, axis), correction=0, keepdim=keepdims)


@op()
def std(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The standard deviation: the root of var."""
    return torch.std(as_float(x), all_axes(x, axis), correction=0, keepdim=keepdims)


@op()
def moments(x: Tensor, axes: Axes, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """Two tensors: mean and variance."""
    return mean(x, axes, keepdims), var(x, axes, keepdims)


@op()
def prod(x: Tensor, axis: Axes = None, keepdims: bool = False, dtype: str | None = None) -> Tensor:
    """The product."""
    return _one_by_one(torch.prod, x if dtype is None else x.to(dtype_of(dtype)), axis, keepdims)


@op("max", "amax")
def max_(x: Tensor, axis: Axes = None, keepdims: bool = False, initial: float | None = None) -> Tensor:
    """The largest value, at least `initial`."""
    found = torch.amax(x, all_axes(x, axis), keepdim=keepdims)
    return found if initial is None else found.clamp(min=initial)


@op("min", "amin")
def min_(x: Tensor, axis: Axes = None, keepdims: bool = False, initial: float | None = None) -> Tensor:
    """The smallest value, at most `initial`."""
    found = torch.amin(x, all_axes(x, axis), keepdim=keepdims)
    return found if initial is None else found.clamp(max=initial)


@op()
def ptp(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest value less the smallest."""
    return max_(x, axis, keepdims) - min_(x, axis, keepdims)


@op("all")
def all_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """True where all values are."""
    return torch.all(x, all_axes(x, axis), keepdim=keepdims)


@op("any")
def any_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """True where a value is."""
    return torch.any(x, all_axes(x, axis), keepdim=keepdims)


@op()
def count_nonzero(x: Tensor, axis: Axes = None) -> Tensor:
    """How many values are not 0."""
    return torch.count_nonzero(x, dim=all_axes(x, axis)).to(torch.int32)


@op()
def logsumexp(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))), computed stably."""
    return torch.logsumexp(x, all_axes(x, axis), keepdim=keepdims)


@op(widens=True)
def norm(x: Tensor, ord: int | str | None = None, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors (one axis; all, where none is given) or matrices (two axes): 1, 2, 'fro', 'nuc'; null: 2."""
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return torch.linalg.norm(as_float(x), ord, axes, keepdim=keepdims)


@op()
def average(x: Tensor, axis: int | None = None, weights: Value | None = None) -> Tensor:
    """The mean, each value counted by its weight; weights have x's shape, or the axis's length."""
    if weights is None:
        return mean(x, axis)
    weight = as_tensor(weights, x.device)
    if weight.ndim == 1 and x.ndim > 1:
        if axis is None:
            raise ArgumentError("average: weights of one axis need 'axis'")
        weight = weight.reshape([-1 if i == one_axis(x, axis) else 1 for i in range(x.ndim)]).expand_as(x)
    return (x * weight).sum(all_axes(x, axis)) / weight.sum(all_axes(x, axis))


@op()
def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the largest value is; without an axis: in x as one long row."""
    return torch.argmax(x, axis, keepdim=keepdims).to(torch.int32)


@op()
def argmin(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the smallest value is; without an axis: in x as one long row."""
    return torch.argmin(x, axis, keepdim=keepdims).to(torch.int32)


@op(widens=True)
def quantile(x: Tensor, q: Tensor, axis: Axes = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """The value that a share q of the values is below; several q give a new first axis."""
    return along_axes(torch.quantile, x, q, axis, method, keepdims)


def along_axes(
    function: Callable[..., Tensor], x: Tensor, q: Tensor, axis: Axes, method: str, keepdims: bool
) -> Tensor:
    """torch's quantiles know one axis: over several they are of these as one."""
    axes = sorted(axis % x.ndim for axis in all_axes(x, axis))
    rest = [i for i in range(x.ndim) if i not in axes]
    flat = as_float(x).permute(*rest, *axes).flatten(len(rest)) if axes else as_float(x)[..., None]
    found = function(flat, q.to(flat.dtype), dim=-1, interpolation=method)
    if keepdims:
        for i in axes:
            found = found.unsqueeze(i + q.ndim)
    return found


@op(widens=True)
def percentile(x: Tensor, q: Tensor, axis: Axes = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """As quantile, with q from 0 to 100."""
    return quantile(x, q / 100, axis, method, keepdims)


@op(widens=True)
def median(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The value in the middle; the mean of two where there are two."""
    return quantile(x, as_tensor(0.5, x.device), axis, "linear", keepdims)


def _one_by_one(function: Callable[..., Tensor], x: Tensor, axis: Axes, keepdims: bool) -> Tensor:
    """Over several axes, of a function that knows one."""
    for i in sorted((i % x.ndim for i in all_axes(x, axis)), reverse=True):
        x = function(x, i, keepdim=keepdims)
    return x
