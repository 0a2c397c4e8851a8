"""Elementwise operations of one tensor."""

from collections.abc import Callable

import torch
from torch import Tensor

from kerascli.ops.base import OPS, Value, as_float, as_tensor, dtype_of, op, wide
from kerascli.preprocessing.images.base import saturated


def _cbrt(x: Tensor) -> Tensor:
    return x.sign() * x.abs() ** (1 / 3)


def _of_floats(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(as_float(x))


_SIMPLE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "abs": (torch.abs, "Compute the absolute value of each element."),
    "negative": (torch.neg, "Compute -x."),
    "square": (torch.square, "Compute x ** 2."),
    "sqrt": (torch.sqrt, "Compute the square root of each element."),
    "rsqrt": (torch.rsqrt, "Compute the reciprocal square root, 1 / sqrt(x)."),
    "cbrt": (_cbrt, "Compute the cube root of each element."),
    "reciprocal": (torch.reciprocal, "Compute the reciprocal, 1 / x."),
    "exp": (torch.exp, "Compute the exponential, e ** x."),
    "exp2": (torch.exp2, "Compute 2 ** x."),
    "expm1": (torch.expm1, "Compute exp(x) - 1, accurately near 0."),
    "log": (torch.log, "Compute the natural logarithm of each element."),
    "log2": (torch.log2, "Compute the base-2 logarithm of each element."),
    "log10": (torch.log10, "Compute the base-10 logarithm of each element."),
    "log1p": (torch.log1p, "Compute log(1 + x), accurately near 0."),
    "sign": (torch.sign, "Return the sign of each element: -1, 0 or 1."),
    "floor": (torch.floor, "Round each element down to an integer."),
    "ceil": (torch.ceil, "Round each element up to an integer."),
    "trunc": (torch.trunc, "Round each element towards 0 to an integer."),
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
    "bitwise_not": (lambda x: torch.bitwise_not(wide(x)), "Invert the bits of each element."),
    "stop_gradient": (torch.detach, "Return the same values without their gradient."),
}  # fmt: skip
_COMPUTED_IN_INTEGERS = {"abs", "negative", "square", "cbrt"}
"""Names of the operations whose results over narrow integers are integers, or computed from such, out of range."""
_ALIASES = {"abs": ("absolute", "fabs"), "bitwise_not": ("bitwise_invert",)}


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor, /) -> Tensor:
        return function(x)

    return call


for _name, (_function, _meaning) in _SIMPLE.items():
    _keeps = _name not in _COMPUTED_IN_INTEGERS
    OPS.register(_unary(_function), _name, _ALIASES.get(_name, ()), _meaning, keeps_integers=_keeps)


@op()
def clip(x: Tensor, x_min: Value, x_max: Value) -> Tensor:
    """Clip each element to the range from x_min to x_max."""
    if isinstance(x_min, Tensor) or isinstance(x_max, Tensor):  # torch needs two numbers or two tensors
        return torch.clamp(x, as_tensor(x_min, x.device), as_tensor(x_max, x.device))
    return torch.clamp(x, x_min, x_max)


@op("round", keeps_integers=True)
def round_(x: Tensor, decimals: int = 0) -> Tensor:
    """Round each element to a number of decimals; halves are rounded to the even neighbour."""
    return torch.round(x, decimals=decimals)


@op(keeps_integers=True)
def nan_to_num(x: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """Replace NaN by `nan`, infinities by `posinf` and `neginf`, by default the largest and smallest finite number."""
    return torch.nan_to_num(x, nan, posinf, neginf)


@op(keeps_integers=True)
def cast(x: Tensor, dtype: str) -> Tensor:
    """Cast a tensor to another dtype: 'float32', 'int32', 'bool' ...; its values must fit (else: saturate_cast)."""
    return x.to(dtype_of(dtype))


@op(keeps_integers=True)
def saturate_cast(x: Tensor, dtype: str) -> Tensor:
    """Cast a tensor to another dtype; values out of its range are replaced by the nearest limit."""
    return saturated(wide(x), dtype_of(dtype))


@op("dtype", keeps_integers=True)
def dtype_name(x: Tensor) -> str:
    """Return the name of a tensor's dtype, a string, as in cast(a, dtype(b))."""
    return str(x.dtype).removeprefix("torch.")


@op(keeps_integers=True)
def copy(x: Tensor) -> Tensor:
    """Return a copy of a tensor."""
    return x.clone()


@op(keeps_integers=True)
def view(x: Tensor, dtype: str | None = None) -> Tensor:
    """Reinterpret the bytes of a tensor as another dtype."""
    return x.view(x.dtype if dtype is None else dtype_of(dtype))
