"""Elementwise operations of two tensors, with broadcasting."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kerascli.ops.base import BOOLEANS, INTEGERS, OPS, ArgumentError, Value, as_float, as_tensor, op, wide


def _floor_divide(x1: Tensor, x2: Value) -> Tensor:
    """Compute x1 // x2 without gradients, which would be 0 everywhere."""
    _not_by_zero(x1, x2)
    return torch.floor_divide(x1.detach(), x2.detach() if isinstance(x2, Tensor) else x2)


def _not_by_zero(x1: Tensor, x2: Value) -> None:
    """Raise ArgumentError for an integer division by a literal 0."""
    if not isinstance(x2, (Tensor, float)) and x2 == 0 and not x1.is_floating_point():
        raise ArgumentError("integers cannot be divided by 0")


def _remainder(x1: Tensor, x2: Value) -> Tensor:
    """Compute x1 % x2 with gradients for both; torch.remainder has none for x2."""
    _not_by_zero(x1, x2)
    return x1 - _floor_divide(x1, x2) * x2 if isinstance(x2, Tensor) else torch.remainder(x1, x2)


def _heaviside(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.heaviside(x1.detach(), x2.detach())


_SIMPLE: dict[str, tuple[Callable[..., Tensor], str, tuple[str, ...]]] = {
    "add": (torch.add, "Compute x1 + x2.", ()),
    "subtract": (torch.sub, "Compute x1 - x2.", ()),
    "multiply": (torch.mul, "Compute x1 * x2.", ()),
    "divide": (torch.true_divide, "Compute x1 / x2.", ("true_divide",)),
    "floor_divide": (_floor_divide, "Compute x1 // x2, the quotient rounded down to an integer.", ()),
    "mod": (_remainder, "Compute x1 % x2, the remainder of a division with the sign of x2.", ()),
    "fmod": (torch.fmod, "Compute the remainder of a division with the sign of x1.", ()),
    "power": (torch.pow, "Compute x1 ** x2.", ()),
    "maximum": (torch.maximum, "Compute the elementwise maximum of x1 and x2; NaN if either is.", ()),
    "minimum": (torch.minimum, "Compute the elementwise minimum of x1 and x2; NaN if either is.", ()),
    "fmax": (torch.fmax, "Compute the elementwise maximum of x1 and x2, ignoring NaN.", ()),
    "fmin": (torch.fmin, "Compute the elementwise minimum of x1 and x2, ignoring NaN.", ()),
    "arctan2": (torch.atan2, "Compute the angle of the point (x2, x1) in radians, from -pi to pi.", ()),
    "hypot": (torch.hypot, "Compute the hypotenuse, sqrt(x1 ** 2 + x2 ** 2).", ()),
    "logaddexp": (torch.logaddexp, "Compute log(exp(x1) + exp(x2)), numerically stable.", ()),
    "logaddexp2": (torch.logaddexp2, "Compute log2(2 ** x1 + 2 ** x2), numerically stable.", ()),
    "heaviside": (_heaviside, "Compute the Heaviside step function: 0 for x1 < 0, x2 at 0, 1 for x1 > 0.", ()),
    "ldexp": (torch.ldexp, "Compute x1 * 2 ** x2.", ()),
    "gcd": (torch.gcd, "Compute the greatest common divisor of integers.", ()),
    "lcm": (torch.lcm, "Compute the least common multiple of integers.", ()),
    "equal": (torch.eq, "Compare elementwise: x1 == x2.", ()),
    "not_equal": (torch.ne, "Compare elementwise: x1 != x2.", ()),
    "less": (torch.lt, "Compare elementwise: x1 < x2.", ()),
    "less_equal": (torch.le, "Compare elementwise: x1 <= x2.", ()),
    "greater": (torch.gt, "Compare elementwise: x1 > x2.", ()),
    "greater_equal": (torch.ge, "Compare elementwise: x1 >= x2.", ()),
    "logical_and": (torch.logical_and, "Return True where both x1 and x2 are true (not 0).", ()),
    "logical_or": (torch.logical_or, "Return True where x1, x2 or both are true (not 0).", ()),
    "logical_xor": (torch.logical_xor, "Return True where exactly one of x1 and x2 is true (not 0).", ()),
    "bitwise_and": (torch.bitwise_and, "Compute the bitwise AND: the bits that are set in both.", ()),
    "bitwise_or": (torch.bitwise_or, "Compute the bitwise OR: the bits that are set in either.", ()),
    "bitwise_xor": (torch.bitwise_xor, "Compute the bitwise XOR: the bits that are set in exactly one.", ()),
    "left_shift": (torch.bitwise_left_shift, "Shift the bits of x1 left by x2.", ("bitwise_left_shift",)),
    "right_shift": (torch.bitwise_right_shift, "Shift the bits of x1 right by x2.", ("bitwise_right_shift",)),
}  # fmt: skip
_NUMBERS_TOO = {"add", "subtract", "multiply", "divide", "mod", "fmod", "power", "floor_divide"}
"""Names of operations whose torch function accepts a number as x2 and then keeps the dtype of the tensor x1."""
COUNTING = _NUMBERS_TOO - {"multiply", "divide"}
"""Names of operations for which booleans are 0 and 1; the product of two booleans is a boolean."""


def _both(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Return both operands as tensors; a number takes the other operand's dtype unless that would lose its fraction."""
    device = next((x.device for x in (x1, x2) if isinstance(x, Tensor)), torch.device("cpu"))
    return as_tensor(x1, device), as_tensor(x2, device)


def _exact(name: str, x1: Value, x2: Value) -> tuple[Value, Value]:
    """Return the operands of an operation, with integers, and booleans that count, in a dtype that holds its results.

    Integers beside a float stay as they are, since torch converts them to floats, and so do those of a division.
    """
    in_floats = name == "divide" or any(
        isinstance(x, float) or (isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())) for x in (x1, x2)
    )
    dtypes = (BOOLEANS if name in COUNTING else frozenset()) | (frozenset() if in_floats else INTEGERS)
    return wide(x1, dtypes), wide(x2, dtypes)


def _binary(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    numbers_too = name in _NUMBERS_TOO

    def call(x1: Value, x2: Value, /) -> Tensor:
        x1, x2 = _exact(name, x1, x2)
        if numbers_too and isinstance(x1, Tensor):
            return function(x1, x2)
        a, b = _both(x1, x2)
        if numbers_too or a.dtype == b.dtype or torch.bool in (a.dtype, b.dtype):
            return function(a, b)
        dtype = torch.result_type(a, b)  # arctan2 and others need operands of one dtype
        return function(a.to(dtype), b.to(dtype))

    return call


def _bitwise(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(x: Value, y: Value, /) -> Tensor:
        return function(*map(wide, _both(x, y)))

    return call


for _name, (_function, _meaning, _aliases) in _SIMPLE.items():
    if "bits" in _meaning:
        OPS.register(_bitwise(_function), _name, _aliases, _meaning, keeps_integers=True)
    else:
        OPS.register(_binary(_name, _function), _name, _aliases, _meaning, keeps_integers=True)


@op()
def allclose(x1: Tensor, x2: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Return True if all elements of x1 and x2 are close; `isclose` has the definition."""
    return isclose(x1, x2, rtol, atol, equal_nan).all()


@op()
def nextafter(x1: Tensor, x2: Tensor) -> Tensor:
    """Return the next representable number after x1 in the direction of x2."""
    return torch.nextafter(x1.detach().double(), x2.detach().double()).to(as_float(x1).dtype)


@op()
def divide_no_nan(x1: Tensor, x2: Tensor) -> Tensor:
    """Compute x1 / x2, or 0 where x2 is 0."""
    safe = torch.where(x2 == 0, torch.ones_like(x2), x2)
    return torch.where(x2 == 0, 0.0, x1 / safe)


@op(keeps_integers=True)
def where(condition: Tensor, x1: Value, x2: Value) -> Tensor:
    """Select x1 where the condition is true (not 0), else x2."""
    return torch.where(condition if condition.dtype == torch.bool else condition != 0, wide(x1), wide(x2))


@op()
def isclose(x1: Tensor, x2: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Return True where |x1 - x2| <= atol + rtol * |x2|."""
    dtype = torch.result_type(x1, x2)
    return torch.isclose(x1.to(dtype), x2.to(dtype), rtol, atol, equal_nan)
