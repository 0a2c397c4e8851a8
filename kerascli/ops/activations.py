"""Registration of every activation function as an operation of formulas, with the activation's fields as arguments."""

import inspect
from typing import Any

from torch import Tensor

from kerascli.ops.base import OPS
from kerascli.parts.base import ACTIVATIONS, Activation

_OTHER_DEFAULTS = {"gelu": {"approximate": True}}
"""Mapping from operation to the arguments whose default in keras.ops differs from the activation function's."""


def _register(cls: type[Activation]) -> None:
    def call(x: Tensor, /, **settings: Any) -> Tensor:
        return cls(**{**other_defaults, **settings})(x)

    name = cls.component_name
    other_defaults = _OTHER_DEFAULTS.get(name, {})
    call.__signature__ = inspect.Signature(_parameters(cls))  # type: ignore[attr-defined]
    OPS.register(call, name, ACTIVATIONS.aliases(name), (cls.__doc__ or "").strip())


def _parameters(cls: type[Activation]) -> list[inspect.Parameter]:
    found = [inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY, annotation=Tensor)]
    for name, field in cls.model_fields.items():
        default = inspect.Parameter.empty if field.is_required() else field.default
        default = _OTHER_DEFAULTS.get(cls.component_name, {}).get(name, default)
        found.append(
            inspect.Parameter(
                name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=field.annotation
            )
        )
    return found


for _cls in ACTIVATIONS:
    _register(_cls)
