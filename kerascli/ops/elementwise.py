"""Operations value by value, of one tensor."""

from collections.abc import Callable

import torch
from torch import Tensor

from kerascli.ops.base import OPS, Value, as_float, as_tensor, dtype_of, op


def _cbrt(x: Tensor) -> Tensor:
    return x.sign() * x.abs() ** (1 / 3)


def _of_floats(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(as_float(x))


_SIMPLE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "abs": (torch.abs, "The size of each value."),
    "negative": (torch.neg, "-x."),
    "square": (torch.square, "x * x."),
    "sqrt": (torch.sqrt, "The square root."),
    "rsqrt": (torch.rsqrt, "1 / sqrt(x)."),
    "cbrt": (_cbrt, "The cube root."),
    "reciprocal": (torch.reciprocal, "1 / x."),
    "exp": (torch.exp, "e ** x."),
    "exp2": (torch.exp2, "2 ** x."),
    "expm1": (torch.expm1, "exp(x) - 1, exact near 0."),
    "log": (torch.log, "The natural logarithm."),
    "log2": (torch.log2, "The logarithm to base 2."),
    "log10": (torch.log10, "The logarithm to base 10."),
    "log1p": (torch.log1p, "log(1 + x), exact near 0."),
    "sign": (torch.sign, "-1, 0 or 1."),
    "floor": (torch.floor, "The next whole number below."),
    "ceil": (torch.ceil, "The next whole number above."),
    "trunc": (torch.trunc, "The whole number towards 0."),
    "sin": (torch.sin, "The sine."),
    "cos": (torch.cos, "The cosine."),
    "tan": (torch.tan, "The tangent."),
    "arcsin": (torch.asin, "The inverse sine."),
    "arccos": (torch.acos, "The inverse cosine."),
    "arctan": (torch.atan, "The inverse tangent."),
    "sinh": (torch.sinh, "The hyperbolic sine."),
    "cosh": (torch.cosh, "The hyperbolic cosine."),
    "arcsinh": (torch.asinh, "The inverse hyperbolic sine."),
    "arccosh": (torch.acosh, "The inverse hyperbolic cosine."),
    "arctanh": (torch.atanh, "The inverse hyperbolic tangent."),
    "sinc": (torch.sinc, "sin(pi x) / (pi x), 1 at 0."),
    "deg2rad": (_of_floats(torch.deg2rad), "Degrees as radians."),
    "rad2deg": (_of_floats(torch.rad2deg), "Radians as degrees."),
    "erf": (torch.erf, "The error function."),
    "erfc": (torch.erfc, "1 - erf(x)."),
    "erfinv": (torch.erfinv, "The inverse of erf."),
    "i0": (torch.i0, "The modified Bessel function of order 0."),
    "isnan": (torch.isnan, "True where a value is not a number."),
    "isinf": (torch.isinf, "True where a value is infinite."),
    "isfinite": (torch.isfinite, "True where a value is a finite number."),
    "isposinf": (torch.isposinf, "True where a value is infinite and positive."),
    "isneginf": (torch.isneginf, "True where a value is infinite and negative."),
    "signbit": (torch.signbit, "True where the sign is a minus."),
    "logical_not": (torch.logical_not, "True where a value is false or 0."),
    "bitwise_not": (torch.bitwise_not, "Each bit the other way round."),
    "stop_gradient": (torch.detach, "The same values; no gradient flows back through them."),
}  # fmt: skip
_ALIASES = {"abs": ("absolute", "fabs"), "bitwise_not": ("bitwise_invert",)}


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor, /) -> Tensor:
        return function(x)

    return call


for _name, (_function, _meaning) in _SIMPLE.items():
    OPS.register(_unary(_function), _name, _ALIASES.get(_name, ()), _meaning)


@op()
def clip(x: Tensor, x_min: Value, x_max: Value) -> Tensor:
    """Values below x_min become x_min, those above x_max become x_max."""
    if isinstance(x_min, Tensor) or isinstance(x_max, Tensor):  # torch takes two numbers or two tensors
        return torch.clamp(x, as_tensor(x_min, x.device), as_tensor(x_max, x.device))
    return torch.clamp(x, x_min, x_max)


@op("round")
def round_(x: Tensor, decimals: int = 0) -> Tensor:
    """The nearest number with so many decimals; halves go to the even one."""
    return torch.round(x, decimals=decimals)


@op()
def nan_to_num(x: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """Other numbers for what is not finite; null: the largest and the smallest there are."""
    return torch.nan_to_num(x, nan, posinf, neginf)


@op()
def cast(x: Tensor, dtype: str) -> Tensor:
    """The values in another dtype: 'float32', 'int32', 'bool' ..."""
    return x.to(dtype_of(dtype))


@op()
def saturate_cast(x: Tensor, dtype: str) -> Tensor:
    """As cast; what the dtype cannot hold becomes its nearest limit."""
    wanted = dtype_of(dtype)
    if wanted == torch.bool:
        return x.to(wanted)
    limits = torch.finfo(wanted) if wanted.is_floating_point else torch.iinfo(wanted)
    return x.clamp(limits.min, limits.max).to(wanted)


@op("dtype")
def dtype_name(x: Tensor) -> str:
    """The name of the dtype, a text: cast(a, dtype(b))."""
    return str(x.dtype).removeprefix("torch.")


@op()
def copy(x: Tensor) -> Tensor:
    """The same values."""
    return x.clone()


@op()
def view(x: Tensor, dtype: str | None = None) -> Tensor:
    """The same bytes, read as another dtype."""
    return x.view(x.dtype if dtype is None else dtype_of(dtype))
