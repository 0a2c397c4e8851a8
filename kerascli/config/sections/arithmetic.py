"""How a training computes, whatever it trains: `precision` and `jit_compile` of the `compile:` section."""

from collections.abc import Mapping
from typing import Any, Literal

from kerascli.errors import Fault, one_of, show
from kerascli.optimizers.base import BaseOptimizer, Optimizer
from kerascli.optimizers.loss_scale_optimizer import LossScaleOptimizer

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def arithmetic(section: Mapping[str, Any]) -> tuple[Precision, bool | Literal["auto"]]:
    """`precision` and `jit_compile`, in which there are no faults."""
    return section.get("precision", "float32"), section.get("jit_compile", "auto")


def scaled(optimizer: BaseOptimizer, precision: Precision) -> BaseOptimizer:
    """As Keras does: in half precision small gradients become zero unless the loss is scaled."""
    if precision == "mixed_float16" and isinstance(optimizer, Optimizer) and optimizer.loss_scale_factor is None:
        return LossScaleOptimizer(inner_optimizer=optimizer)
    return optimizer


def arithmetic_faults(section: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with them; paths are below the section."""
    faults: list[Fault] = []
    precision, jit = arithmetic(section)
    if precision not in _PRECISIONS:
        text = f"precision: expected {one_of(_PRECISIONS)}, got {show(precision)}"
        faults.append(Fault(text, ("precision",)))
    if jit != "auto" and not isinstance(jit, bool):
        text = f"jit_compile: expected true, false or auto, got {show(jit)}"
        faults.append(Fault(text, ("jit_compile",)))
    return faults
