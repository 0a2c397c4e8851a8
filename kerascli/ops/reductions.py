"""Operations that reduce tensors along axes, by default along all axes."""

from collections.abc import Callable

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, Axes, Value, all_axes, as_float, as_tensor, dtype_of, one_axis, op, wide


@op("sum", keeps_integers=True)
def sum_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the sum along `axis`, by default along all axes."""
    return torch.sum(x, all_axes(x, axis), keepdim=keepdims) if axis != [] else x


@op(keeps_integers=True)
def mean(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the mean along `axis`, by default along all axes."""
    return torch.mean(as_float(x), all_axes(x, axis), keepdim=keepdims)


@op(keeps_integers=True)
def var(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the population variance, mean((x - mean(x)) ** 2), along `axis`, by default along all axes."""
    return torch.var(as_float(x), all_axes(x, axis), correction=0, keepdim=keepdims)


@op(keeps_integers=True)
def std(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the population standard deviation, sqrt(var(x)), along `axis`, by default along all axes."""
    return torch.std(as_float(x), all_axes(x, axis), correction=0, keepdim=keepdims)


@op(keeps_integers=True)
def moments(x: Tensor, axes: Axes, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """Compute mean and variance along axes: two tensors."""
    return mean(x, axes, keepdims), var(x, axes, keepdims)


@op(keeps_integers=True)
def prod(x: Tensor, axis: Axes = None, keepdims: bool = False, dtype: str | None = None) -> Tensor:
    """Compute the product along `axis`, by default along all axes."""
    return _one_by_one(torch.prod, x if dtype is None else x.to(dtype_of(dtype)), axis, keepdims)


@op("max", "amax", keeps_integers=True)
def max_(x: Tensor, axis: Axes = None, keepdims: bool = False, initial: float | None = None) -> Tensor:
    """Compute the maximum along `axis`, by default along all axes; the result is not below `initial`."""
    found = torch.amax(x, all_axes(x, axis), keepdim=keepdims)
    return found if initial is None else wide(found).clamp(min=initial)


@op("min", "amin", keeps_integers=True)
def min_(x: Tensor, axis: Axes = None, keepdims: bool = False, initial: float | None = None) -> Tensor:
    """Compute the minimum along `axis`, by default along all axes; the result is not above `initial`."""
    found = torch.amin(x, all_axes(x, axis), keepdim=keepdims)
    return found if initial is None else wide(found).clamp(max=initial)


@op()
def ptp(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the range (peak to peak) along axes: maximum - minimum."""
    return max_(x, axis, keepdims) - min_(x, axis, keepdims)


@op("all", keeps_integers=True)
def all_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return True if all elements along axes are true (not 0)."""
    return torch.all(x, all_axes(x, axis), keepdim=keepdims).bool()


@op("any", keeps_integers=True)
def any_(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Return True if any element along axes is true (not 0)."""
    return torch.any(x, all_axes(x, axis), keepdim=keepdims).bool()


@op(keeps_integers=True)
def count_nonzero(x: Tensor, axis: Axes = None) -> Tensor:
    """Count the elements along axes that are not 0."""
    return torch.count_nonzero(x, dim=all_axes(x, axis)).to(torch.int32)


@op(keeps_integers=True)
def logsumexp(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute log(sum(exp(x))) along axes, numerically stable."""
    return torch.logsumexp(x, all_axes(x, axis), keepdim=keepdims)


@op(widens=True, keeps_integers=True)
def norm(x: Tensor, ord: int | str | None = None, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the norm `ord` (1, 2, 'fro', 'nuc'; default: 2) of vectors (one axis, or all) or matrices (two axes)."""
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return torch.linalg.norm(as_float(x), ord, axes, keepdim=keepdims)


@op()
def average(x: Tensor, axis: int | None = None, weights: Value | None = None) -> Tensor:
    """Compute the weighted mean along an axis; weights have the shape of x or the size of the axis."""
    if weights is None:
        return mean(x, axis)
    weight = as_tensor(weights, x.device)
    if weight.ndim == 1 and x.ndim > 1:
        if axis is None:
            raise ArgumentError("average: weights of one axis need 'axis'")
        weight = weight.reshape([-1 if i == one_axis(x, axis) else 1 for i in range(x.ndim)]).expand_as(x)
    return (x * weight).sum(all_axes(x, axis)) / weight.sum(all_axes(x, axis))


@op(keeps_integers=True)
def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the maximum along `axis`, by default in the flattened tensor."""
    return torch.argmax(x, axis, keepdim=keepdims).to(torch.int32)


@op(keeps_integers=True)
def argmin(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the minimum along `axis`, by default in the flattened tensor."""
    return torch.argmin(x, axis, keepdim=keepdims).to(torch.int32)


@op(widens=True, keeps_integers=True)
def quantile(x: Tensor, q: Tensor, axis: Axes = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Compute the q-th quantiles (q from 0 to 1) along axes; several values of q become a new first axis."""
    return along_axes(torch.quantile, x, q, axis, method, keepdims)


def along_axes(
    function: Callable[..., Tensor], x: Tensor, q: Tensor, axis: Axes, method: str, keepdims: bool
) -> Tensor:
    """Apply torch's quantile function, which takes one axis, to several axes by flattening them into one."""
    axes = sorted(axis % x.ndim for axis in all_axes(x, axis))
    rest = [i for i in range(x.ndim) if i not in axes]
    flat = as_float(x).permute(*rest, *axes).flatten(len(rest)) if axes else as_float(x)[..., None]
    found = function(flat, q.to(flat.dtype), dim=-1, interpolation=method)
    if keepdims:
        for i in axes:
            found = found.unsqueeze(i + q.ndim)
    return found


@op(widens=True, keeps_integers=True)
def percentile(x: Tensor, q: Tensor, axis: Axes = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Compute the q-th percentiles (q from 0 to 100) along axes; several values of q become a new first axis."""
    return quantile(x, q / 100, axis, method, keepdims)


@op(widens=True, keeps_integers=True)
def median(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the median along axes: for an even count, the mean of the middle two."""
    return quantile(x, as_tensor(0.5, x.device), axis, "linear", keepdims)


def _one_by_one(function: Callable[..., Tensor], x: Tensor, axis: Axes, keepdims: bool) -> Tensor:
    """Apply a reduction function, which takes one axis at a time, along one axis after another."""
    for i in sorted((i % x.ndim for i in all_axes(x, axis)), reverse=True):
        x = function(x, i, keepdim=keepdims)
    return x
