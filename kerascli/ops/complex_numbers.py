"""Operations on complex tensors, which may occur within a formula, although the formula's value must be real."""

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, as_float, op


@op()
def real(x: Tensor) -> Tensor:
    """Return the real part of each element."""
    return torch.real(x)


@op()
def imag(x: Tensor) -> Tensor:
    """Return the imaginary part of each element; 0 for real tensors."""
    return x.imag if x.is_complex() else torch.zeros_like(x)


@op("conj", "conjugate")
def conj(x: Tensor) -> Tensor:
    """Compute the complex conjugate of each element."""
    return torch.conj_physical(x)


@op()
def angle(x: Tensor) -> Tensor:
    """Compute the angle of each element in the complex plane, in radians; pi for negative real numbers."""
    return torch.angle(as_float(x))


@op()
def isreal(x: Tensor) -> Tensor:
    """Return True for each element whose imaginary part is 0."""
    return torch.isreal(x)


@op(widens=True)
def polar(abs_: Tensor, angle: Tensor) -> Tensor:
    """Build complex numbers from absolute values and angles (radians)."""
    return torch.complex(abs_ * angle.cos(), abs_ * angle.sin())


@op(widens=True)
def view_as_complex(x: Tensor) -> Tensor:
    """Convert a last axis of 2, real and imaginary parts, to complex numbers."""
    if x.ndim < 1 or x.shape[-1] != 2:
        raise ArgumentError("view_as_complex: expected a last axis of 2, real and imaginary part")
    return torch.complex(*as_float(x).unbind(-1))


@op()
def view_as_real(x: Tensor) -> Tensor:
    """Convert complex numbers to real and imaginary parts, as a last axis of 2."""
    return torch.stack([x.real, imag(x)], -1)
