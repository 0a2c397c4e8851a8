"""Products and other linear algebra; of stacks of matrices each by itself."""

import string

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import ArgumentError, as_float, op


@op()
def matmul(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 @ x2: the product of the last two axes; the others are a stack."""
    return torch.matmul(x1, x2)


@op()
def dot(x1: Tensor, x2: Tensor) -> Tensor:
    """The sum over the last axis of x1 and the last but one of x2; all other axes stay."""
    if x1.ndim == 0 or x2.ndim == 0:
        return x1 * x2
    return torch.tensordot(x1, x2, ([-1], [-1 if x2.ndim == 1 else -2]))  # type: ignore[arg-type]


@op()
def inner(x1: Tensor, x2: Tensor) -> Tensor:
    """The sum over the last axes; all other axes stay."""
    return torch.inner(x1, x2)


@op()
def vdot(x1: Tensor, x2: Tensor) -> Tensor:
    """The product of both as one row each, a single value."""
    return torch.dot(x1.reshape(-1), x2.reshape(-1))


@op()
def outer(x1: Tensor, x2: Tensor) -> Tensor:
    """All products of a value of x1 (as a row) and one of x2."""
    return torch.outer(x1.reshape(-1), x2.reshape(-1))


@op()
def tensordot(x1: Tensor, x2: Tensor, axes: list | int = 2) -> Tensor:  # type: ignore[type-arg]
    """The sum over the last `axes` axes of x1 and the first of x2, or over [axes of x1, axes of x2]."""
    if isinstance(axes, list):
        axes = [[pair] if isinstance(pair, int) else pair for pair in axes]
    return torch.tensordot(x1, x2, axes)  # type: ignore[arg-type]


@op()
def einsum(subscripts: str, /, *operands: Tensor) -> Tensor:
    """Einstein's sum: a letter for each axis; letters that are not behind '->' are summed over."""
    inputs = subscripts.replace(" ", "").partition("->")[0].split(",")
    if len(inputs) != len(operands):
        raise ArgumentError(f"einsum: '{subscripts}' is of {len(inputs)} tensors, got {len(operands)}")
    if not set(subscripts) <= {*string.ascii_letters, *",->. "}:
        raise ArgumentError(f"einsum: '{subscripts}': letters, ',', '->' and '...' only")
    return torch.einsum(subscripts, *operands)


@op()
def kron(x1: Tensor, x2: Tensor) -> Tensor:
    """Each value of x1 times the whole of x2."""
    return torch.kron(x1, x2)


@op()
def cross(x1: Tensor, x2: Tensor, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Tensor:
    """The cross product of vectors of three; `axis` stands for the three axes of x1, x2 and the result."""
    of_x1, of_x2, of_result = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    found = torch.linalg.cross(x1.movedim(of_x1, -1), x2.movedim(of_x2, -1))
    return found.movedim(-1, of_result)


@op()
def cdist(x: Tensor, y: Tensor) -> Tensor:
    """The distance of each row of x from each row of y."""
    return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1).sqrt()


@op(widens=True)
def det(x: Tensor) -> Tensor:
    """The determinant."""
    return torch.linalg.det(x)


@op(widens=True)
def slogdet(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors: the sign of the determinant, and the logarithm of its size."""
    sign, size = torch.linalg.slogdet(x)
    return sign, size


@op(widens=True)
def logdet(x: Tensor) -> Tensor:
    """The logarithm of the determinant."""
    return torch.logdet(x)


@op(widens=True)
def inv(x: Tensor) -> Tensor:
    """The inverse."""
    return torch.linalg.inv(x)


@op(widens=True)
def pinv(x: Tensor, rcond: float | None = None) -> Tensor:
    """The pseudo-inverse (Moore-Penrose); singular values below `rcond` times the largest count as 0."""
    return torch.linalg.pinv(x, rtol=rcond)


@op(widens=True)
def cholesky(x: Tensor, upper: bool = False) -> Tensor:
    """The triangular factor of a positive definite matrix."""
    return torch.linalg.cholesky(x, upper=upper)


@op(widens=True)
def solve(a: Tensor, b: Tensor) -> Tensor:
    """x in a @ x = b."""
    return torch.linalg.solve(a, b)


@op(widens=True)
def solve_triangular(a: Tensor, b: Tensor, lower: bool = False) -> Tensor:
    """x in a @ x = b, a being triangular."""
    if b.ndim == a.ndim - 1:
        return torch.linalg.solve_triangular(a, b.unsqueeze(-1), upper=not lower).squeeze(-1)
    return torch.linalg.solve_triangular(a, b, upper=not lower)


@op(widens=True)
def qr(x: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Two tensors: orthogonal columns, and an upper triangle, whose product is x."""
    q, r = torch.linalg.qr(x, mode)
    return q, r


@op(widens=True)
def cholesky_inverse(x: Tensor, upper: bool = False) -> Tensor:
    """The inverse of a matrix whose triangular factor is x."""
    return torch.cholesky_inverse(x, upper=upper)


@op(widens=True)
def eigh(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors, of symmetric matrices: the eigenvalues, the smallest first, and the eigenvectors as columns."""
    values, vectors = torch.linalg.eigh(x)
    return values, vectors


@op(widens=True)
def svd(x: Tensor, full_matrices: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Three tensors u, s, v: x is u times the singular values s times v."""
    u, s, v = torch.linalg.svd(x, full_matrices=full_matrices)
    return u, s, v


@op()
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of each value, as a row."""
    powers = torch.arange(x.shape[-1] if N is None else N, device=x.device)
    return x.unsqueeze(-1) ** (powers if increasing else powers.flip(0))


@op(widens=True)
def lstsq(a: Tensor, b: Tensor, rcond: float | None = None) -> Tensor:
    """x for which a @ x is nearest to b, by least squares."""
    if a.is_meta:  # torch does not know the shape ahead
        return a.mT @ b
    if rcond is None:
        return torch.linalg.lstsq(a, b).solution
    return torch.linalg.pinv(a, rtol=rcond) @ b


@op(widens=True)
def lu_factor(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors: both triangles in one matrix, of x with rows exchanged; and with which row each was exchanged."""
    factors, pivots = torch.linalg.lu_factor(x)
    return factors, pivots - 1


@op(widens=True)
def eig(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two complex tensors: the eigenvalues, and the eigenvectors as columns; of symmetric matrices take eigh."""
    values, vectors = torch.linalg.eig(x)
    return values, vectors


@op(widens=True)
def matrix_rank(x: Tensor, tol: float | None = None) -> Tensor:
    """How many singular values are above `tol`; null: above what rounding makes."""
    sizes = torch.linalg.svdvals(x)
    if tol is None:
        least = torch.finfo(x.dtype).eps * max(x.shape[-2:]) * sizes.amax(-1, keepdim=True)
        return (sizes > least).sum(-1, dtype=torch.int32)
    return (sizes > tol).sum(-1, dtype=torch.int32)


@op()
def corrcoef(x: Tensor) -> Tensor:
    """The correlation of each row with each."""
    if x.ndim > 2:
        raise ArgumentError(f"corrcoef needs a matrix, whose rows are variables, got {x.ndim} axes")
    rows = as_float(x).reshape(-1, x.shape[-1])
    away = rows - rows.mean(-1, keepdim=True)
    products = away @ away.mT
    size = products.diagonal().sqrt()
    found = (products / size / size.unsqueeze(-1)).clamp(-1, 1)
    return found if x.ndim == 2 else found[0, 0]


@op()
def correlate(x1: Tensor, x2: Tensor, mode: str = "valid") -> Tensor:
    """The sums of x1 times x2, for each way in which the one vector lies along the other."""
    if x1.ndim != 1 or x2.ndim != 1:
        raise ArgumentError("correlate needs two vectors")
    if mode not in {"valid", "same", "full"}:
        raise ArgumentError(f"correlate: mode: expected 'valid', 'same' or 'full', got '{mode}'", "mode")
    dtype = torch.promote_types(as_float(x1).dtype, as_float(x2).dtype)
    around = x2.shape[0] - 1
    whole = F.conv1d(F.pad(x1.to(dtype), (around, around)).view(1, 1, -1), x2.to(dtype).view(1, 1, -1)).view(-1)
    count = {"valid": abs(len(x1) - len(x2)) + 1, "same": len(x1), "full": len(whole)}[mode]
    return whole.narrow(0, (len(whole) - count) // 2, count)
