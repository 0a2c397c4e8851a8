"""Operations of linear algebra; all axes before the last two are batch axes of matrices."""

import string
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import Refusal, as_float, of_one_dtype, op, table

table({
    "matmul(x1, x2)": (of_one_dtype(torch.matmul),
        "Compute the matrix product x1 @ x2 over the last two axes; the other axes are batch axes."),
    "inner(x1, x2)": (of_one_dtype(torch.inner),
        "Compute the inner product: a sum of products over the last axes of x1 and x2."),
    "vdot(x1, x2)": (of_one_dtype(lambda x1, x2: torch.dot(x1.reshape(-1), x2.reshape(-1))),
        "Compute the dot product of x1 and x2, flattened to vectors: a scalar."),
    "outer(x1, x2)": (lambda x1, x2: torch.outer(x1.reshape(-1), x2.reshape(-1)),
        "Compute the outer product of x1 and x2, flattened to vectors: a matrix of all products."),
    "kron(x1, x2)": (torch.kron, "Compute the Kronecker product: the blocks are x2 times each element of x1."),
})  # fmt: skip
table({
    "det": (torch.linalg.det, "Compute the determinant of a square matrix."),
    "slogdet(x) -> list": (torch.linalg.slogdet,
        "Compute the sign of the determinant and the logarithm of its absolute value: two tensors."),
    "logdet": (torch.logdet, "Compute the logarithm of the determinant of a square matrix."),
    "inv": (torch.linalg.inv, "Compute the inverse of a square matrix."),
    "pinv(x, rcond: float | None = None)": (lambda x, rcond: torch.linalg.pinv(x, rtol=rcond),
        "Compute the Moore-Penrose pseudo-inverse; singular values below `rcond` times the largest are set to 0."),
    "cholesky(x, upper = False)": (lambda x, upper: torch.linalg.cholesky(x, upper=upper),
    "Compute the Cholesky factor of a positive definite matrix: lower triangular, or upper triangular with `upper`."),
    "cholesky_inverse(x, upper = False)": (torch.cholesky_inverse, "Invert a matrix, given its Cholesky factor x."),
    "solve(a, b)": (torch.linalg.solve, "Solve the linear system a @ x = b for x."),
    "qr(x, mode = 'reduced') -> list": (torch.linalg.qr,
        "Compute the QR decomposition x = q @ r, with orthonormal columns q and upper triangular r: two tensors."),
    "eigh(x) -> list": (torch.linalg.eigh,
        "Compute the eigenvalues (ascending) and eigenvectors (columns) of a symmetric matrix: two tensors."),
    "eig(x) -> list": (torch.linalg.eig,
        "Compute eigenvalues and eigenvectors (columns): two complex tensors; for symmetric matrices use eigh."),
    "svd(x, full_matrices = True) -> list": (torch.linalg.svd,
        "Compute the singular value decomposition x = u @ diag(s) @ v: three tensors u, s, v."),
}, widens=True)  # fmt: skip


@op()
def dot(x1: Tensor, x2: Tensor) -> Tensor:
    """Compute the dot product: a sum of products over the last axis of x1 and the last but one (or only) axis of x2."""
    if x1.ndim == 0 or x2.ndim == 0:
        return x1 * x2
    return tensordot(x1, x2, [-1, -1 if x2.ndim == 1 else -2])


@op()
def tensordot(x1: Tensor, x2: Tensor, axes: list | int = 2) -> Tensor:  # type: ignore[type-arg]
    """Contract the last `axes` axes of x1 with the first of x2, or the axes listed in [axes of x1, axes of x2]."""
    if isinstance(axes, list):
        axes = [[pair] if isinstance(pair, int) else pair for pair in axes]
    return of_one_dtype(lambda a, b: torch.tensordot(a, b, axes))(x1, x2)  # type: ignore[arg-type]


@op()
def einsum(subscripts: str, /, *operands: Tensor) -> Tensor:
    """Evaluate the Einstein summation convention, such as einsum('bij,bjk->bik', a, b), for the operands."""
    inputs = subscripts.replace(" ", "").partition("->")[0].split(",")
    if len(inputs) != len(operands):
        raise Refusal(f"'{subscripts}' needs {len(inputs)} tensors, got {len(operands)}")
    if not set(subscripts) <= {*string.ascii_letters, *",->. "}:
        raise Refusal(f"'{subscripts}': expected letters, ',', '->' and '...' only")
    return of_one_dtype(lambda *tensors: torch.einsum(subscripts, *tensors))(*operands)


@op()
def cross(x1: Tensor, x2: Tensor, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Tensor:
    """Compute the cross product of vectors of size 3; `axis` overrides axisa, axisb and axisc."""
    of_x1, of_x2, of_result = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    product = of_one_dtype(torch.linalg.cross)(x1.movedim(of_x1, -1), x2.movedim(of_x2, -1))
    return product.movedim(-1, of_result)


@op()
def cdist(x: Tensor, y: Tensor) -> Tensor:
    """Compute the Euclidean distance between each row of x and each row of y."""
    x, y = as_float(x), as_float(y)
    return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1).sqrt()


@op(widens=True)
def solve_triangular(a: Tensor, b: Tensor, lower: bool = False) -> Tensor:
    """Solve the linear system a @ x = b for x, where a is upper triangular, or lower triangular with `lower`."""
    if b.ndim == a.ndim - 1:
        return torch.linalg.solve_triangular(a, b.unsqueeze(-1), upper=not lower).squeeze(-1)
    return torch.linalg.solve_triangular(a, b, upper=not lower)


@op()
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Build the Vandermonde matrix: each row has the powers of one element, by default in descending order."""
    powers = torch.arange(x.shape[-1] if N is None else N, device=x.device)
    return x.unsqueeze(-1) ** (powers if increasing else powers.flip(0))


@op(widens=True)
def lstsq(a: Tensor, b: Tensor, rcond: float | None = None) -> Tensor:
    """Compute the least-squares solution x of a @ x = b."""
    if a.is_meta:  # torch cannot infer the shape on the meta device
        return a.mT @ b
    if rcond is None:
        return torch.linalg.lstsq(a, b).solution
    return torch.linalg.pinv(a, rtol=rcond) @ b


@op(widens=True)
def lu_factor(x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the LU decomposition with pivoting: one matrix with both factors, and the pivot row for each row."""
    factors, pivots = torch.linalg.lu_factor(x)
    return factors, pivots - 1


@op(widens=True)
def matrix_rank(x: Tensor, tol: float | None = None) -> Tensor:
    """Compute the rank of a matrix: the number of singular values above `tol`, by default above the rounding error."""
    sizes = torch.linalg.svdvals(x)
    least = torch.finfo(x.dtype).eps * max(x.shape[-2:]) * sizes.amax(-1, keepdim=True) if tol is None else tol
    return (sizes > least).sum(-1, dtype=torch.int32)


@op()
def corrcoef(x: Tensor) -> Tensor:
    """Compute the matrix of Pearson correlation coefficients of the rows."""
    if x.ndim > 2:
        raise Refusal(f"needs a matrix, whose rows are variables, got {x.ndim} axes")
    rows = as_float(x).reshape(-1, x.shape[-1])
    away = rows - rows.mean(-1, keepdim=True)
    products = away @ away.mT
    size = products.diagonal().sqrt()
    coefficients = (products / size / size.unsqueeze(-1)).clamp(-1, 1)
    return coefficients if x.ndim == 2 else coefficients[0, 0]


@op()
def correlate(x1: Tensor, x2: Tensor, mode: Literal["valid", "same", "full"] = "valid") -> Tensor:
    """Compute the cross-correlation of two vectors; mode: 'valid', 'same' or 'full'."""
    if x1.ndim != 1 or x2.ndim != 1:
        raise Refusal("needs two vectors")
    dtype = torch.promote_types(as_float(x1).dtype, as_float(x2).dtype)
    around = x2.shape[0] - 1
    whole = F.conv1d(F.pad(x1.to(dtype), (around, around)).view(1, 1, -1), x2.to(dtype).view(1, 1, -1)).view(-1)
    count = {"valid": abs(len(x1) - len(x2)) + 1, "same": len(x1), "full": len(whole)}[mode]
    return whole.narrow(0, (len(whole) - count) // 2, count)
