"""Elementwise operations of one or two tensors, with broadcasting, of numbers real or complex."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kerascli.ops import base
from kerascli.ops.base import BOOLEANS, ArgumentError, Compute, Value, as_float, as_tensor, op, table, wide
from kerascli.preprocessing.images.base import saturated


def _of_floats(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *tensors: function(*map(as_float, tensors))


table({
    "abs|absolute|fabs": (torch.abs, "Compute the absolute value of each element."),
    "negative": (torch.neg, "Compute -x."),
    "square": (torch.square, "Compute x ** 2."),
    "floor": (torch.floor, "Round each element down to an integer."),
    "ceil": (torch.ceil, "Round each element up to an integer."),
    "trunc": (torch.trunc, "Round each element towards 0 to an integer."),
    "cbrt": (lambda x: x.sign() * x.abs() ** (1 / 3), "Compute the cube root of each element."),
})  # fmt: skip
table({
    "sqrt": (torch.sqrt, "Compute the square root of each element."),
    "rsqrt": (torch.rsqrt, "Compute the reciprocal square root, 1 / sqrt(x)."),
    "reciprocal": (torch.reciprocal, "Compute the reciprocal, 1 / x."),
    "exp": (torch.exp, "Compute the exponential, e ** x."),
    "exp2": (torch.exp2, "Compute 2 ** x."),
    "expm1": (torch.expm1, "Compute exp(x) - 1, accurately near 0."),
    "log": (torch.log, "Compute the natural logarithm of each element."),
    "log2": (torch.log2, "Compute the base-2 logarithm of each element."),
    "log10": (torch.log10, "Compute the base-10 logarithm of each element."),
    "log1p": (torch.log1p, "Compute log(1 + x), accurately near 0."),
    "sign": (torch.sign, "Return the sign of each element: -1, 0 or 1."),
    "sin": (torch.sin, "Compute the sine of each element, in radians."),
    "cos": (torch.cos, "Compute the cosine of each element, in radians."),
    "tan": (torch.tan, "Compute the tangent of each element, in radians."),
    "arcsin": (torch.asin, "Compute the inverse sine of each element."),
    "arccos": (torch.acos, "Compute the inverse cosine of each element."),
    "arctan": (torch.atan, "Compute the inverse tangent of each element."),
    "sinh": (torch.sinh, "Compute the hyperbolic sine of each element."),
    "cosh": (torch.cosh, "Compute the hyperbolic cosine of each element."),
    "arcsinh": (torch.asinh, "Compute the inverse hyperbolic sine of each element."),
    "arccosh": (torch.acosh, "Compute the inverse hyperbolic cosine of each element."),
    "arctanh": (torch.atanh, "Compute the inverse hyperbolic tangent of each element."),
    "sinc": (torch.sinc, "Compute the normalized sinc, sin(pi * x) / (pi * x); 1 at 0."),
    "deg2rad": (_of_floats(torch.deg2rad), "Convert degrees to radians."),
    "rad2deg": (_of_floats(torch.rad2deg), "Convert radians to degrees."),
    "erf": (torch.erf, "Compute the error function of each element."),
    "erfc": (torch.erfc, "Compute the complementary error function, 1 - erf(x)."),
    "erfinv": (torch.erfinv, "Compute the inverse of the error function."),
    "i0": (torch.i0, "Compute the modified Bessel function of the first kind, order 0."),
    "isnan": (torch.isnan, "Return True for each element that is NaN."),
    "isinf": (torch.isinf, "Return True for each element that is infinite."),
    "isfinite": (torch.isfinite, "Return True for each element that is finite (not infinite, not NaN)."),
    "isposinf": (torch.isposinf, "Return True for each element that is positive infinity."),
    "isneginf": (torch.isneginf, "Return True for each element that is negative infinity."),
    "signbit": (torch.signbit, "Return True for each element whose sign is negative (-0.0 included)."),
    "logical_not": (torch.logical_not, "Return the logical negation: True for each element that is False or 0."),
    "bitwise_not|bitwise_invert": (lambda x: torch.bitwise_not(wide(x)), "Invert the bits of each element."),
    "stop_gradient": (torch.detach, "Return the same values without their gradient."),
}, keeps_integers=True)  # fmt: skip


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


def _power(x1: Tensor, x2: Value) -> Tensor:
    return torch.pow(x1.to(torch.result_type(x1, x2)), x2)  # ONNX's result has the dtype of x1


_PAIRS: dict[str, tuple[Compute, str]] = {
    "add": (torch.add, "Compute x1 + x2."),
    "subtract": (torch.sub, "Compute x1 - x2."),
    "multiply": (torch.mul, "Compute x1 * x2."),
    "divide|true_divide": (torch.true_divide, "Compute x1 / x2."),
    "floor_divide": (_floor_divide, "Compute x1 // x2, the quotient rounded down to an integer."),
    "mod": (_remainder, "Compute x1 % x2, the remainder of a division with the sign of x2."),
    "fmod": (torch.fmod, "Compute the remainder of a division with the sign of x1."),
    "power": (_power, "Compute x1 ** x2."),
    "maximum": (torch.maximum, "Compute the elementwise maximum of x1 and x2; NaN if either is."),
    "minimum": (torch.minimum, "Compute the elementwise minimum of x1 and x2; NaN if either is."),
    "fmax": (torch.fmax, "Compute the elementwise maximum of x1 and x2, ignoring NaN."),
    "fmin": (torch.fmin, "Compute the elementwise minimum of x1 and x2, ignoring NaN."),
    "arctan2": (torch.atan2, "Compute the angle of the point (x2, x1) in radians, from -pi to pi."),
    "hypot": (_of_floats(torch.hypot), "Compute the hypotenuse, sqrt(x1 ** 2 + x2 ** 2)."),
    "logaddexp": (_of_floats(torch.logaddexp), "Compute log(exp(x1) + exp(x2)), numerically stable."),
    "logaddexp2": (_of_floats(torch.logaddexp2), "Compute log2(2 ** x1 + 2 ** x2), numerically stable."),
    "heaviside": (lambda x1, x2: torch.heaviside(as_float(x1).detach(), as_float(x2).detach()),
        "Compute the Heaviside step function: 0 for x1 < 0, x2 at 0, 1 for x1 > 0."),
    "ldexp": (torch.ldexp, "Compute x1 * 2 ** x2."),
    "gcd": (torch.gcd, "Compute the greatest common divisor of integers."),
    "lcm": (torch.lcm, "Compute the least common multiple of integers."),
    "equal": (torch.eq, "Compare elementwise: x1 == x2."),
    "not_equal": (torch.ne, "Compare elementwise: x1 != x2."),
    "less": (torch.lt, "Compare elementwise: x1 < x2."),
    "less_equal": (torch.le, "Compare elementwise: x1 <= x2."),
    "greater": (torch.gt, "Compare elementwise: x1 > x2."),
    "greater_equal": (torch.ge, "Compare elementwise: x1 >= x2."),
    "logical_and": (torch.logical_and, "Return True where both x1 and x2 are true (not 0)."),
    "logical_or": (torch.logical_or, "Return True where x1, x2 or both are true (not 0)."),
    "logical_xor": (torch.logical_xor, "Return True where exactly one of x1 and x2 is true (not 0)."),
}  # fmt: skip
_BITS: dict[str, tuple[Compute, str]] = {
    "bitwise_and": (torch.bitwise_and, "Compute the bitwise AND: the bits that are set in both."),
    "bitwise_or": (torch.bitwise_or, "Compute the bitwise OR: the bits that are set in either."),
    "bitwise_xor": (torch.bitwise_xor, "Compute the bitwise XOR: the bits that are set in exactly one."),
    "left_shift|bitwise_left_shift": (torch.bitwise_left_shift, "Shift the bits of x1 left by x2."),
    "right_shift|bitwise_right_shift": (torch.bitwise_right_shift, "Shift the bits of x1 right by x2."),
}  # fmt: skip
_NUMBERS_TOO = {"add", "subtract", "multiply", "divide", "mod", "fmod", "power", "floor_divide"}
"""Names of operations whose torch function accepts a number as x2 and then keeps the dtype of the tensor x1."""
COUNTING = _NUMBERS_TOO - {"multiply", "divide"} | {"gcd", "lcm", "left_shift", "right_shift"}
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
    dtypes = (BOOLEANS if name in COUNTING else frozenset()) | (frozenset() if in_floats else base.INTEGERS)
    return wide(x1, dtypes), wide(x2, dtypes)


def _binary(name: str, function: Compute) -> Compute:
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


for _rows, _signature in ((_PAIRS, "x1: Value, x2: Value"), (_BITS, "x: Value, y: Value")):
    _binaries = {row: (_binary(row.partition("|")[0], function), meaning) for row, (function, meaning) in _rows.items()}
    table(_binaries, _signature, keeps_integers=True)


def _is_close(x1: Tensor, x2: Tensor, *settings: Any) -> Tensor:
    dtype = torch.result_type(x1, x2)
    return torch.isclose(x1.to(dtype), x2.to(dtype), *settings)


def _where(condition: Tensor, x1: Value, x2: Value) -> Tensor:
    return torch.where(condition if condition.dtype == torch.bool else condition != 0, wide(x1), wide(x2))


def _round(x: Tensor, decimals: int) -> Tensor:
    if x.is_floating_point():
        return torch.round(x, decimals=decimals)
    return wide(x, base.COUNTED) if decimals >= 0 else torch.round(x.double(), decimals=decimals).long()


def _imag(x: Tensor) -> Tensor:
    return x.imag if x.is_complex() else torch.zeros_like(x)


table({
    "isclose(x1, x2, rtol = 1e-5, atol = 1e-8, equal_nan = False)": (_is_close,
        "Return True where |x1 - x2| <= atol + rtol * |x2|."),
    "allclose(x1, x2, rtol = 1e-5, atol = 1e-8, equal_nan = False)": (lambda *arguments: _is_close(*arguments).all(),
        "Return True if all elements of x1 and x2 are close; `isclose` has the definition."),
    "nextafter(x1, x2)": (
        lambda x1, x2: torch.nextafter(x1.detach().double(), x2.detach().double()).to(as_float(x1).dtype),
        "Return the next representable number after x1 in the direction of x2."),
    "divide_no_nan(x1, x2)": (lambda x1, x2: torch.where(x2 == 0, 0.0, x1 / torch.where(x2 == 0, 1, x2)),
        "Compute x1 / x2, or 0 where x2 is 0."),
    "real": (torch.real, "Return the real part of each element."),
    "imag": (_imag, "Return the imaginary part of each element; 0 for real tensors."),
    "conj|conjugate": (torch.conj_physical, "Compute the complex conjugate of each element."),
    "angle": (lambda x: torch.angle(as_float(x)),
        "Compute the angle of each element in the complex plane, in radians; pi for negative real numbers."),
    "isreal": (torch.isreal, "Return True for each element whose imaginary part is 0."),
    "view_as_real": (lambda x: torch.stack([x.real, _imag(x)], -1),
        "Convert complex numbers to real and imaginary parts, as a last axis of 2."),
})  # fmt: skip
table({
    "where(condition, x1: Value, x2: Value)": (_where, "Select x1 where the condition is true (not 0), else x2."),
    "round(x, decimals = 0)": (_round,
        "Round each element to a number of decimals; halves are rounded to the even neighbour."),
    "nan_to_num(x, nan = 0.0, posinf: float | None = None, neginf: float | None = None)": (torch.nan_to_num,
    "Replace NaN by `nan`, infinities by `posinf` and `neginf`, by default the largest and smallest finite number."),
    "cast(x, dtype: str)": (Tensor.to,
        "Cast a tensor to another dtype: 'float32', 'int32', 'bool' ...; its values must fit (else: saturate_cast)."),
    "saturate_cast(x, dtype: str)": (lambda x, dtype: saturated(wide(x), dtype),
        "Cast a tensor to another dtype; values out of its range are replaced by the nearest limit."),
    "dtype": (lambda x: str(x.dtype).removeprefix("torch."),
        "Return the name of a tensor's dtype, a string, as in cast(a, dtype(b))."),
    "copy": (torch.clone, "Return a copy of a tensor."),
    "view(x, dtype: str | None = None)": (lambda x, dtype: x.view(dtype or x.dtype),
        "Reinterpret the bytes of a tensor as another dtype."),
}, keeps_integers=True)  # fmt: skip


@op()
def clip(x: Tensor, x_min: Value, x_max: Value) -> Tensor:
    """Clip each element to the range from x_min to x_max."""
    if isinstance(x_min, Tensor) or isinstance(x_max, Tensor):  # torch needs two numbers or two tensors
        return torch.clamp(x, as_tensor(x_min, x.device), as_tensor(x_max, x.device))
    if type(x_min) is not type(x_max):  # ONNX files need two numbers of one type
        x_min, x_max = float(x_min), float(x_max)
    return torch.clamp(x, x_min, x_max)


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
