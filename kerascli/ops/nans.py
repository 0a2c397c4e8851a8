"""Operations that reduce tensors along axes and ignore NaN."""

import torch
from torch import Tensor

from kerascli.ops.base import Axes, all_axes, as_float, as_tensor, op
from kerascli.ops.indexing import cumprod, cumsum
from kerascli.ops.reductions import along_axes, argmax, argmin, max_, min_, prod, sum_


@op()
def nansum(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the sum along axes, ignoring NaN."""
    return torch.nansum(x, all_axes(x, axis), keepdim=keepdims)


@op()
def nanmean(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the mean along axes, ignoring NaN."""
    return torch.nanmean(as_float(x), all_axes(x, axis), keepdim=keepdims)


@op()
def nanvar(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the variance along axes, ignoring NaN."""
    middle, is_number = nanmean(x, axis, keepdims=True), ~x.isnan()
    squares = torch.where(is_number, x.nan_to_num() - middle, 0.0) ** 2
    return sum_(squares, axis, keepdims) / sum_(is_number, axis, keepdims)


@op()
def nanstd(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the standard deviation along axes, ignoring NaN."""
    return nanvar(x, axis, keepdims).sqrt()


@op()
def nanmax(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the maximum along axes, ignoring NaN."""
    return max_(torch.where(x.isnan(), -torch.inf, x), axis, keepdims)


@op()
def nanmin(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the minimum along axes, ignoring NaN."""
    return min_(torch.where(x.isnan(), torch.inf, x), axis, keepdims)


@op()
def nanprod(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the product along axes, ignoring NaN."""
    return prod(torch.where(x.isnan(), 1.0, x), axis, keepdims)


@op()
def nanargmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the maximum, ignoring NaN; -1 if all values are NaN."""
    return _place(argmax(torch.where(x.isnan(), -torch.inf, x), axis, keepdims), x, axis, keepdims)


@op()
def nanargmin(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the minimum, ignoring NaN; -1 if all values are NaN."""
    return _place(argmin(torch.where(x.isnan(), torch.inf, x), axis, keepdims), x, axis, keepdims)


def _place(found: Tensor, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    return torch.where(torch.all(x.isnan(), all_axes(x, axis), keepdim=keepdims), -1, found)


@op()
def nancumsum(x: Tensor, axis: int | None = None, dtype: str | None = None) -> Tensor:
    """Compute the cumulative sum along `axis`, with NaN as 0; by default of the flattened tensor."""
    return cumsum(torch.where(x.isnan(), 0.0, x), axis, dtype)


@op()
def nancumprod(x: Tensor, axis: int | None = None, dtype: str | None = None) -> Tensor:
    """Compute the cumulative product along `axis`, with NaN as 1; by default of the flattened tensor."""
    return cumprod(torch.where(x.isnan(), 1.0, x), axis, dtype)


@op(widens=True)
def nanquantile(x: Tensor, q: Tensor, axis: Axes = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Compute the q-th quantiles (q from 0 to 1) along axes, ignoring NaN."""
    return along_axes(torch.nanquantile, x, q, axis, method, keepdims)


@op(widens=True)
def nanpercentile(x: Tensor, q: Tensor, axis: Axes = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Compute the q-th percentiles (q from 0 to 100) along axes, ignoring NaN."""
    return nanquantile(x, q / 100, axis, method, keepdims)


@op(widens=True)
def nanmedian(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Compute the median along axes, ignoring NaN: for an even count, the mean of the middle two."""
    return nanquantile(x, as_tensor(0.5, x.device), axis, "linear", keepdims)
