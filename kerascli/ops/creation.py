"""Operations that create a tensor from a shape, from numbers, or like another tensor."""

import math

import torch
from torch import Tensor

from kerascli.ops.base import Sizes, dtype_beside, dtype_of, op


@op("array", "convert_to_tensor", keeps_integers=True)
def array(x: Tensor, dtype: str | None = None) -> Tensor:
    """Convert numbers, or nested lists of numbers, to a tensor."""
    return x if dtype is None else x.to(dtype_of(dtype))


@op()
def zeros(shape: int | Sizes, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Create a tensor of zeros; the shape includes the batch axis."""
    return torch.zeros(_sizes(shape), dtype=dtype_of(dtype), device=device)


@op()
def ones(shape: int | Sizes, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Create a tensor of ones; the shape includes the batch axis."""
    return torch.ones(_sizes(shape), dtype=dtype_of(dtype), device=device)


@op(keeps_integers=True)
def full(shape: int | Sizes, fill_value: Tensor, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Create a tensor filled with one value; the shape includes the batch axis."""
    return fill_value.to(fill_value.dtype if dtype is None else dtype_of(dtype)).expand(_sizes(shape))


def _sizes(shape: int | Sizes) -> list[int]:
    return [shape] if isinstance(shape, int) else list(shape)


@op(keeps_integers=True)
def zeros_like(x: Tensor, dtype: str | None = None) -> Tensor:
    """Create a tensor of zeros with the shape of x."""
    return torch.zeros_like(x, dtype=x.dtype if dtype is None else dtype_of(dtype))


@op(keeps_integers=True)
def ones_like(x: Tensor, dtype: str | None = None) -> Tensor:
    """Create a tensor of ones with the shape of x."""
    return torch.ones_like(x, dtype=x.dtype if dtype is None else dtype_of(dtype))


@op(keeps_integers=True)
def full_like(x: Tensor, fill_value: Tensor, dtype: str | None = None) -> Tensor:
    """Create a tensor filled with one value, with the shape of x."""
    return fill_value.to(dtype_beside(x, fill_value) if dtype is None else dtype_of(dtype)).expand_as(x)


@op()
def eye(N: int, M: int | None = None, k: int = 0, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Create a matrix (N, M) with ones on the k-th diagonal."""
    rows, columns = (torch.arange(n, device=device) for n in (N, N if M is None else M))
    return (columns - rows[:, None] == k).to(dtype_of(dtype))


@op()
def identity(n: int, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Create the identity matrix (n, n)."""
    return eye(n, dtype=dtype, device=device)


@op()
def tri(N: int, M: int | None = None, k: int = 0, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Create a matrix (N, M) with ones on and below the k-th diagonal."""
    rows, columns = (torch.arange(n, device=device) for n in (N, N if M is None else M))
    return (columns - rows[:, None] <= k).to(dtype_of(dtype))


@op()
def arange(
    start: float, stop: float | None = None, step: float | None = None, dtype: str | None = None,
    *, device: torch.device,
) -> Tensor:  # fmt: skip
    """Create evenly spaced numbers from start to stop, exclusive; arange(n) starts at 0."""
    first, last = (0, start) if stop is None else (start, stop)
    whole = all(isinstance(n, int) for n in (first, last, step or 1))
    integers = torch.int32 if max(abs(first), abs(last)) < 2**31 else torch.int64
    wanted = integers if dtype is None and whole else dtype_of(dtype)
    return torch.arange(first, last, 1 if step is None else step, dtype=wanted, device=device)


@op()
def linspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, *, dtype: str | None = None, device: torch.device
) -> Tensor:
    """Create `num` evenly spaced numbers from start to stop, inclusive unless endpoint is false."""
    last = stop if endpoint else stop - (stop - start) / max(num, 1)
    return torch.linspace(start, last, num, dtype=dtype_of(dtype), device=device)


@op()
def logspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, base: float = 10, dtype: str | None = None,
    *, device: torch.device,
) -> Tensor:  # fmt: skip
    """Create numbers evenly spaced on a log scale: base ** linspace(start, stop)."""
    return base ** linspace(start, stop, num, endpoint, dtype=dtype, device=device)


@op()
def geomspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, *, dtype: str | None = None, device: torch.device
) -> Tensor:
    """Create `num` numbers from start to stop in geometric progression."""
    return logspace(math.log10(start), math.log10(stop), num, endpoint, dtype=dtype, device=device)
