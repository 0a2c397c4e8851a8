"""Complex numbers on the way; what a formula gives is real."""

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, as_float, op


@op()
def real(x: Tensor) -> Tensor:
    """The real parts."""
    return torch.real(x)


@op()
def imag(x: Tensor) -> Tensor:
    """The imaginary parts; of real numbers 0."""
    return x.imag if x.is_complex() else torch.zeros_like(x)


@op("conj", "conjugate")
def conj(x: Tensor) -> Tensor:
    """The same real parts, the imaginary ones with the other sign."""
    return torch.conj_physical(x)


@op()
def angle(x: Tensor) -> Tensor:
    """The angle of each value in the complex plane; of negative numbers pi."""
    return torch.angle(as_float(x))


@op()
def isreal(x: Tensor) -> Tensor:
    """True where the imaginary part is 0."""
    return torch.isreal(x)


@op(widens=True)
def polar(abs_: Tensor, angle: Tensor) -> Tensor:
    """Complex numbers of a size and an angle."""
    return torch.complex(abs_ * angle.cos(), abs_ * angle.sin())


@op(widens=True)
def view_as_complex(x: Tensor) -> Tensor:
    """Complex numbers of the pairs in the last axis."""
    if x.ndim < 1 or x.shape[-1] != 2:
        raise ArgumentError("view_as_complex: the last axis has 2 values, a real and an imaginary part")
    return torch.complex(*as_float(x).unbind(-1))


@op()
def view_as_real(x: Tensor) -> Tensor:
    """Real and imaginary parts as a last axis of 2."""
    return torch.stack([x.real, imag(x)], -1)
