"""Short texts on layers (family, settings, output shape) for their boxes in a diagram."""

from typing import Any

from kerascli.foundation.errors import safe_text
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Component, changed_arguments
from kerascli.layers.base import BaseLayer
from kerascli.report.architecture.diagram import TIMES

_LONGEST = 44
_PLAIN = {"units", "filters", "activation", "rate", "kernel_size", "pool_size", "value", "layer", "target_shape"}
"""Names of layer settings of which a diagram's box shows only the value."""
_AXES = frozenset({"axes", "axis", "dims"})
_OMITTED = ("_initializer", "_regularizer", "_constraint")


def family_of(layer: BaseLayer) -> str:
    """Return the family of a layer, the folder of its source file (`pooling`, `recurrent` ...); `own` for a plugin's
    layer."""
    parts = type(layer).__module__.split(".")
    if parts[:2] in (["kerascli", "features"], ["kerascli", "preprocessing"]):
        return "preprocessing"
    return parts[2] if parts[:2] == ["kerascli", "layers"] and len(parts) > 2 else "own"


def details(layer: BaseLayer) -> str:
    """Return the settings of a layer that differ from the defaults, but not those of its weights, as text: `16, 3x3,
    relu`."""
    shown = changed_arguments(layer)
    own = [name for name in shown if name not in BaseLayer.model_fields and not name.endswith(_OMITTED)]
    text = ", ".join(filter(None, (_setting_text(name, shown[name]) for name in own)))
    return safe_text(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _setting_text(name: str, value: Any) -> str:
    match value:
        case BaseLayer():
            return f"{value.component_name} {details(value)}".strip()
        case Component():
            return value.component_name
        case tuple() if value and all(isinstance(each, Component) for each in value):
            return ", ".join(dict.fromkeys(each.component_name for each in value))
        case True:
            return name
        case False:
            return f"no {name.removeprefix('use_')}"
        case tuple():
            text = _tuple_text(name, value)
        case float():
            text = f"{value:g}"
        case str() | int():
            text = str(value)
        case _:
            return name
    return text if name in _PLAIN else f"{name} {text}"


def _tuple_text(name: str, value: tuple[Any, ...]) -> str:
    if not all(isinstance(each, int) for each in value):
        return str([*value])
    if name == "strides" and len(set(value)) == 1:
        return str(value[0])
    return (", " if name in _AXES else TIMES).join(map(str, value))


def shape_label(spec: TensorSpec) -> str:
    """Return a tensor's shape as text (28×28×16) for a diagram; an unknown size is `?`, an integer dtype is added."""
    text = TIMES.join("?" if size is None else str(size) for size in spec.shape) or "one number"
    return f"{text} {spec.dtype}" if spec.is_integer else text
