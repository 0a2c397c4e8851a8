"""Operations value by value, of two tensors that broadcast."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kerascli.ops.base import OPS, ArgumentError, Value, as_float, as_tensor, op


def _floor_divide(x1: Tensor, x2: Value) -> Tensor:
    """Without gradients, which are 0."""
    _not_by_zero(x1, x2)
    return torch.floor_divide(x1.detach(), x2.detach() if isinstance(x2, Tensor) else x2)


def _not_by_zero(x1: Tensor, x2: Value) -> None:
    """A written 0 is found before anything is computed."""
    if not isinstance(x2, (Tensor, float)) and x2 == 0 and not x1.is_floating_point():
        raise ArgumentError("whole numbers cannot be divided by 0")


def _remainder(x1: Tensor, x2: Value) -> Tensor:
    """torch's has no gradient for x2."""
    _not_by_zero(x1, x2)
    return x1 - _floor_divide(x1, x2) * x2 if isinstance(x2, Tensor) else torch.remainder(x1, x2)


def _heaviside(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.heaviside(x1.detach(), x2.detach())


_SIMPLE: dict[str, tuple[Callable[..., Tensor], str, tuple[str, ...]]] = {
    "add": (torch.add, "x1 + x2.", ()),
    "subtract": (torch.sub, "x1 - x2.", ()),
    "multiply": (torch.mul, "x1 * x2.", ()),
    "divide": (torch.true_divide, "x1 / x2.", ("true_divide",)),
    "floor_divide": (_floor_divide, "x1 // x2: the whole number below the quotient.", ()),
    "mod": (_remainder, "x1 % x2: what is left, with the sign of x2.", ()),
    "fmod": (torch.fmod, "What is left of a division, with the sign of x1.", ()),
    "power": (torch.pow, "x1 ** x2.", ()),
    "maximum": (torch.maximum, "The larger of each two values.", ()),
    "minimum": (torch.minimum, "The smaller of each two values.", ()),
    "fmax": (torch.fmax, "The larger of each two values; a number beats none.", ()),
    "fmin": (torch.fmin, "The smaller of each two values; a number beats none.", ()),
    "arctan2": (torch.atan2, "The angle of the point (x2, x1).", ()),
    "hypot": (torch.hypot, "sqrt(x1 ** 2 + x2 ** 2).", ()),
    "logaddexp": (torch.logaddexp, "log(exp(x1) + exp(x2)), computed stably.", ()),
    "logaddexp2": (torch.logaddexp2, "log2(2 ** x1 + 2 ** x2), computed stably.", ()),
    "heaviside": (_heaviside, "0 below 0, x2 at 0, 1 above.", ()),
    "ldexp": (torch.ldexp, "x1 * 2 ** x2.", ()),
    "gcd": (torch.gcd, "The greatest common divisor.", ()),
    "lcm": (torch.lcm, "The least common multiple.", ()),
    "equal": (torch.eq, "x1 == x2.", ()),
    "not_equal": (torch.ne, "x1 != x2.", ()),
    "less": (torch.lt, "x1 < x2.", ()),
    "less_equal": (torch.le, "x1 <= x2.", ()),
    "greater": (torch.gt, "x1 > x2.", ()),
    "greater_equal": (torch.ge, "x1 >= x2.", ()),
    "logical_and": (torch.logical_and, "True where both are.", ()),
    "logical_or": (torch.logical_or, "True where one is, or both.", ()),
    "logical_xor": (torch.logical_xor, "True where one is and the other is not.", ()),
    "bitwise_and": (torch.bitwise_and, "The bits that both have.", ()),
    "bitwise_or": (torch.bitwise_or, "The bits that one has, or both.", ()),
    "bitwise_xor": (torch.bitwise_xor, "The bits that one has and the other has not.", ()),
    "left_shift": (torch.bitwise_left_shift, "The bits of x1, moved up by x2.", ("bitwise_left_shift",)),
    "right_shift": (torch.bitwise_right_shift, "The bits of x1, moved down by x2.", ("bitwise_right_shift",)),
}  # fmt: skip
_NUMBERS_TOO = {"add", "subtract", "multiply", "divide", "mod", "fmod", "power", "floor_divide"}
"""torch takes these with a number beside the tensor, which keeps the tensor's dtype."""


def _both(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two tensors; a number beside a tensor becomes one of its dtype, unless it is a fraction and the tensor whole."""
    device = next((x.device for x in (x1, x2) if isinstance(x, Tensor)), torch.device("cpu"))
    return as_tensor(x1, device), as_tensor(x2, device)


def _binary(function: Callable[..., Tensor], *, numbers_too: bool) -> Callable[..., Tensor]:
    def call(x1: Value, x2: Value, /) -> Tensor:
        if numbers_too and isinstance(x1, Tensor):
            return function(x1, x2)
        a, b = _both(x1, x2)
        if numbers_too or a.dtype == b.dtype or torch.bool in (a.dtype, b.dtype):
            return function(a, b)
        dtype = torch.result_type(a, b)  # arctan2 and the like want one dtype
        return function(a.to(dtype), b.to(dtype))

    return call


def _bitwise(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(x: Value, y: Value, /) -> Tensor:
        return function(*_both(x, y))

    return call


for _name, (_function, _meaning, _aliases) in _SIMPLE.items():
    if "bits" in _meaning:
        OPS.register(_bitwise(_function), _name, _aliases, _meaning)
    else:
        OPS.register(_binary(_function, numbers_too=_name in _NUMBERS_TOO), _name, _aliases, _meaning)


@op()
def allclose(x1: Tensor, x2: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """True where all values are close: isclose."""
    return isclose(x1, x2, rtol, atol, equal_nan).all()


@op()
def nextafter(x1: Tensor, x2: Tensor) -> Tensor:
    """The next number that there is behind x1, on the way to x2."""
    return torch.nextafter(x1.detach().double(), x2.detach().double()).to(as_float(x1).dtype)


@op()
def divide_no_nan(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 / x2, and 0 where x2 is 0."""
    safe = torch.where(x2 == 0, torch.ones_like(x2), x2)
    return torch.where(x2 == 0, 0.0, x1 / safe)


@op()
def where(condition: Tensor, x1: Value, x2: Value) -> Tensor:
    """x1 where the condition is true (or not 0), else x2."""
    return torch.where(condition if condition.dtype == torch.bool else condition != 0, x1, x2)


@op()
def isclose(x1: Tensor, x2: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """True where |x1 - x2| <= atol + rtol * |x2|."""
    dtype = torch.result_type(x1, x2)
    return torch.isclose(x1.to(dtype), x2.to(dtype), rtol, atol, equal_nan)
