"""Adding multiples in place, by a number or by a tensor that holds one: a compiled rule takes its rate as a tensor."""

from torch import Tensor


def add(weight: Tensor, x: Tensor, factor: float | Tensor) -> None:
    """weight += factor * x."""
    if isinstance(factor, Tensor):
        weight.add_(x * factor)
    else:
        weight.add_(x, alpha=factor)


def add_product(weight: Tensor, a: Tensor, b: Tensor, factor: float | Tensor) -> None:
    """weight += factor * a * b."""
    if isinstance(factor, Tensor):
        weight.add_(a * b * factor)
    else:
        weight.addcmul_(a, b, value=factor)


def add_quotient(weight: Tensor, a: Tensor, b: Tensor, factor: float | Tensor) -> None:
    """weight += factor * a / b."""
    if isinstance(factor, Tensor):
        weight.add_(a / b * factor)
    else:
        weight.addcdiv_(a, b, value=factor)
