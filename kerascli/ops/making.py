"""Operations that make a tensor of no other, or of one's shape alone."""

import math

import torch
from torch import Tensor

from kerascli.ops.base import Sizes, dtype_of, op


@op("array", "convert_to_tensor")
def array(x: Tensor, dtype: str | None = None) -> Tensor:
    """Numbers, and lists of them, as a tensor."""
    return x if dtype is None else x.to(dtype_of(dtype))


@op()
def zeros(shape: int | Sizes, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Zeros of a shape, the batch axis included."""
    return torch.zeros(_sizes(shape), dtype=dtype_of(dtype), device=device)


@op()
def ones(shape: int | Sizes, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Ones of a shape, the batch axis included."""
    return torch.ones(_sizes(shape), dtype=dtype_of(dtype), device=device)


@op()
def full(shape: int | Sizes, fill_value: Tensor, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """One value in a shape, the batch axis included."""
    return fill_value.to(fill_value.dtype if dtype is None else dtype_of(dtype)).expand(_sizes(shape))


def _sizes(shape: int | Sizes) -> list[int]:
    return [shape] if isinstance(shape, int) else list(shape)


@op()
def zeros_like(x: Tensor, dtype: str | None = None) -> Tensor:
    """Zeros of x's shape."""
    return torch.zeros_like(x, dtype=x.dtype if dtype is None else dtype_of(dtype))


@op()
def ones_like(x: Tensor, dtype: str | None = None) -> Tensor:
    """Ones of x's shape."""
    return torch.ones_like(x, dtype=x.dtype if dtype is None else dtype_of(dtype))


@op()
def full_like(x: Tensor, fill_value: Tensor, dtype: str | None = None) -> Tensor:
    """One value in x's shape."""
    return fill_value.to(x.dtype if dtype is None else dtype_of(dtype)).expand_as(x)


@op()
def eye(N: int, M: int | None = None, k: int = 0, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """A matrix with ones on the k-th diagonal."""
    rows, columns = (torch.arange(n, device=device) for n in (N, N if M is None else M))
    return (columns - rows[:, None] == k).to(dtype_of(dtype))


@op()
def identity(n: int, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """A square matrix with ones on the diagonal."""
    return eye(n, dtype=dtype, device=device)


@op()
def tri(N: int, M: int | None = None, k: int = 0, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """A matrix with ones up to the k-th diagonal."""
    rows, columns = (torch.arange(n, device=device) for n in (N, N if M is None else M))
    return (columns - rows[:, None] <= k).to(dtype_of(dtype))


@op()
def arange(
    start: float, stop: float | None = None, step: float | None = None, dtype: str | None = None,
    *, device: torch.device,
) -> Tensor:  # fmt: skip
    """Numbers from start (0 where it stands alone) up to, but without, stop."""
    first, last = (0, start) if stop is None else (start, stop)
    whole = all(isinstance(n, int) for n in (first, last, step or 1))
    wanted = torch.int32 if dtype is None and whole else dtype_of(dtype)
    return torch.arange(first, last, 1 if step is None else step, dtype=wanted, device=device)


@op()
def linspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, *, dtype: str | None = None, device: torch.device
) -> Tensor:
    """`num` numbers from start to stop, equally far apart; endpoint false: without stop."""
    last = stop if endpoint else stop - (stop - start) / max(num, 1)
    return torch.linspace(start, last, num, dtype=dtype_of(dtype), device=device)


@op()
def logspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, base: float = 10, dtype: str | None = None,
    *, device: torch.device,
) -> Tensor:  # fmt: skip
    """base ** linspace(start, stop)."""
    return base ** linspace(start, stop, num, endpoint, dtype=dtype, device=device)


@op()
def geomspace(
    start: float, stop: float, num: int = 50, endpoint: bool = True, *, dtype: str | None = None, device: torch.device
) -> Tensor:
    """`num` numbers from start to stop, each the same times the one before."""
    return logspace(math.log10(start), math.log10(stop), num, endpoint, dtype=dtype, device=device)
