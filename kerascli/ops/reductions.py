"""Operations that reduce tensors along axes, by default along all axes; those with the prefix nan ignore NaN."""

from collections.abc import Callable

import torch
from torch import Tensor

from kerascli.ops.base import BOOLEANS, Axes, Refusal, Value, all_axes, as_float, as_tensor, one_axis, op, table, wide


def _one_by_one(x: Tensor, axes: tuple[int, ...], keepdims: bool, dtype: torch.dtype | None = None) -> Tensor:
    """Compute the product along axes; torch takes one axis at a time."""
    x = x if dtype is None else x.to(dtype)
    for i in sorted((i % x.ndim for i in axes), reverse=True):
        x = torch.prod(x, i, keepdim=keepdims)
    return x


def _place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, axis, keepdims: function(wide(x, BOOLEANS), axis, keepdim=keepdims).to(torch.int32)


def _place_of_number(function: Callable[..., Tensor], ignored: float) -> Callable[..., Tensor]:
    """Return argmax or argmin that ignores NaN, in place of which it sees `ignored`; -1 where all are NaN."""

    def call(x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
        place = function(torch.where(x.isnan(), ignored, x), axis, keepdims)
        return torch.where(torch.all(x.isnan(), all_axes(x, axis), keepdim=keepdims), -1, place)

    return call


def _bounded(function: Callable[..., Tensor], side: str) -> Callable[..., Tensor]:
    """Return amax or amin with the argument `initial`, which bounds the result."""

    def call(x: Tensor, axes: tuple[int, ...], keepdims: bool, initial: float | None) -> Tensor:
        reduced = function(x, axes, keepdim=keepdims)
        return reduced if initial is None else wide(reduced).clamp(**{side: initial})

    return call


def _var(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return torch.var(as_float(x), axes, correction=0, keepdim=keepdims)


def _mean(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return torch.mean(as_float(x), axes, keepdim=keepdims)


def _nanvar(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    middle, is_number = torch.nanmean(as_float(x), axes, keepdim=True), ~x.isnan()
    squares = torch.where(is_number, x.nan_to_num() - middle, 0.0) ** 2
    return _sum(squares, axes, keepdims) / _sum(is_number, axes, keepdims)


def _sum(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    return torch.sum(x, axes, keepdim=keepdims) if axes or not x.ndim else x


def _quantile(function: Callable[..., Tensor], unit: float = 1) -> Callable[..., Tensor]:
    """Return an operation that applies torch's quantile function, which takes one axis, to several flattened ones."""

    def call(x: Tensor, q: Tensor, axes: tuple[int, ...], method: str, keepdims: bool) -> Tensor:
        q = q if unit == 1 else q / unit
        axes = tuple(sorted(axis % x.ndim for axis in axes))
        rest = [i for i in range(x.ndim) if i not in axes]
        flat = as_float(x).permute(*rest, *axes).flatten(len(rest)) if axes else as_float(x)[..., None]
        result = function(flat, q.to(flat.dtype), dim=-1, interpolation=method)
        for i in axes if keepdims else ():
            result = result.unsqueeze(i + q.ndim)
        return result

    return call


def _median(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    quantile = _quantile(function)
    return lambda x, axes, keepdims: quantile(x, as_tensor(0.5, x.device), axes, "linear", keepdims)


_ALONG = "x, axis: Axes = None, keepdims = False"
_QUANTILE = "x, q, axis: Axes = None, method = 'linear', keepdims = False"
table({
    "sum": (_sum, "Compute the sum along `axis`, by default along all axes."),
    "mean": (_mean, "Compute the mean along `axis`, by default along all axes."),
    "var": (_var, "Compute the population variance, mean((x - mean(x)) ** 2), along `axis`, by default all axes."),
    "std": (lambda x, axes, keepdims: torch.std(as_float(x), axes, correction=0, keepdim=keepdims),
        "Compute the population standard deviation, sqrt(var(x)), along `axis`, by default along all axes."),
    "moments(x, axes: Axes, keepdims = False) -> list": (lambda *arguments: (_mean(*arguments), _var(*arguments)),
        "Compute mean and variance along axes: two tensors."),
    f"prod({_ALONG}, dtype: str | None = None)": (_one_by_one, "Multiply along `axis`, by default along all axes."),
    f"max|amax({_ALONG}, initial: float | None = None)": (_bounded(torch.amax, "min"),
        "Compute the maximum along `axis`, by default along all axes; the result is not below `initial`."),
    f"min|amin({_ALONG}, initial: float | None = None)": (_bounded(torch.amin, "max"),
        "Compute the minimum along `axis`, by default along all axes; the result is not above `initial`."),
    "all": (lambda x, axes, keepdims: torch.all(x, axes, keepdim=keepdims).bool(),
        "Return True if all elements along axes are true (not 0)."),
    "any": (lambda x, axes, keepdims: torch.any(x, axes, keepdim=keepdims).bool(),
        "Return True if any element along axes is true (not 0)."),
    "count_nonzero(x, axis: Axes = None)": (lambda x, axes: torch.count_nonzero(x, dim=axes).to(torch.int32),
        "Count the elements along axes that are not 0."),
    "logsumexp": (torch.logsumexp, "Compute log(sum(exp(x))) along axes, numerically stable."),
    "argmax(x, axis: int | None = None, keepdims = False)": (_place(torch.argmax),
        "Return the index of the maximum along `axis`, by default in the flattened tensor."),
    "argmin(x, axis: int | None = None, keepdims = False)": (_place(torch.argmin),
        "Return the index of the minimum along `axis`, by default in the flattened tensor."),
}, _ALONG, keeps_integers=True)  # fmt: skip
table({
    "ptp": (lambda x, axes, keepdims: torch.amax(x, axes, keepdims) - torch.amin(x, axes, keepdims),
        "Compute the range (peak to peak) along axes: maximum - minimum."),
    "nansum": (torch.nansum, "Compute the sum along axes, ignoring NaN."),
    "nanmean": (lambda x, axes, keepdims: torch.nanmean(as_float(x), axes, keepdims),
        "Compute the mean along axes, ignoring NaN."),
    "nanvar": (_nanvar, "Compute the variance along axes, ignoring NaN."),
    "nanstd": (lambda *arguments: _nanvar(*arguments).sqrt(),
        "Compute the standard deviation along axes, ignoring NaN."),
    "nanmax": (lambda x, axes, keepdims: torch.amax(torch.where(x.isnan(), -torch.inf, x), axes, keepdims),
        "Compute the maximum along axes, ignoring NaN."),
    "nanmin": (lambda x, axes, keepdims: torch.amin(torch.where(x.isnan(), torch.inf, x), axes, keepdims),
        "Compute the minimum along axes, ignoring NaN."),
    "nanprod": (lambda x, axes, keepdims: _one_by_one(torch.where(x.isnan(), 1.0, x), axes, keepdims),
        "Compute the product along axes, ignoring NaN."),
    "nanargmax(x, axis: int | None = None, keepdims = False)": (_place_of_number(_place(torch.argmax), -torch.inf),
        "Return the index of the maximum, ignoring NaN; -1 if all values are NaN."),
    "nanargmin(x, axis: int | None = None, keepdims = False)": (_place_of_number(_place(torch.argmin), torch.inf),
        "Return the index of the minimum, ignoring NaN; -1 if all values are NaN."),
}, _ALONG)  # fmt: skip
table({
    "quantile": (_quantile(torch.quantile),
        "Compute the q-th quantiles (q from 0 to 1) along axes; several values of q become a new first axis."),
    "percentile": (_quantile(torch.quantile, 100),
        "Compute the q-th percentiles (q from 0 to 100) along axes; several values of q become a new first axis."),
    f"median({_ALONG})": (_median(torch.quantile),
        "Compute the median along axes: for an even count, the mean of the middle two."),
}, _QUANTILE, widens=True, keeps_integers=True)  # fmt: skip
table({
    "nanquantile": (_quantile(torch.nanquantile),
        "Compute the q-th quantiles (q from 0 to 1) along axes, ignoring NaN."),
    "nanpercentile": (_quantile(torch.nanquantile, 100),
        "Compute the q-th percentiles (q from 0 to 100) along axes, ignoring NaN."),
    f"nanmedian({_ALONG})": (_median(torch.nanquantile),
        "Compute the median along axes, ignoring NaN: for an even count, the mean of the middle two."),
}, _QUANTILE, widens=True)  # fmt: skip


@op(widens=True, keeps_integers=True)
def norm(x: Tensor, ord: int | str | None = None, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the norm `ord` (1, 2, 'fro', 'nuc'; default: 2) of vectors (one axis, or all) or matrices (two axes)."""
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return torch.linalg.norm(as_float(x), ord, axes, keepdim=keepdims)


@op()
def average(x: Tensor, axis: int | None = None, weights: Value | None = None) -> Tensor:
    """Compute the weighted mean along an axis; weights have the shape of x or the size of the axis."""
    if weights is None:
        return _mean(x, all_axes(x, axis), False)
    weight = as_tensor(weights, x.device)
    if weight.ndim == 1 and x.ndim > 1:
        if axis is None:
            raise Refusal("weights of one axis need 'axis'")
        weight = weight.reshape([-1 if i == one_axis(x, axis) else 1 for i in range(x.ndim)]).expand_as(x)
    return (x * weight).sum(all_axes(x, axis)) / weight.sum(all_axes(x, axis))
