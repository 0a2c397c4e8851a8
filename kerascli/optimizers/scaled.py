"""In-place additions scaled by a factor, which is a number or, in compiled update rules, a scalar tensor."""

from torch import Tensor


def add(weight: Tensor, x: Tensor, factor: float | Tensor) -> None:
    """Compute weight += factor * x in place."""
    if isinstance(factor, Tensor):
        weight.add_(x * factor)
    else:
        weight.add_(x, alpha=factor)


def add_product(weight: Tensor, a: Tensor, b: Tensor, factor: float | Tensor) -> None:
    """Compute weight += factor * a * b in place."""
    if isinstance(factor, Tensor):
        weight.add_(a * b * factor)
    else:
        weight.addcmul_(a, b, value=factor)


def add_quotient(weight: Tensor, a: Tensor, b: Tensor, factor: float | Tensor) -> None:
    """Compute weight += factor * a / b in place."""
    if isinstance(factor, Tensor):
        weight.add_(a / b * factor)
    else:
        weight.addcdiv_(a, b, value=factor)
