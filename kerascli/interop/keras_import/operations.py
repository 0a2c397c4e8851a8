"""Convert operations of keras.ops in a Keras model to the text of `expr` nodes in a config."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kerascli.interop.keras.differences import ANY
from kerascli.interop.keras.graph import Call, Ref, refs
from kerascli.interop.keras.names import op_of
from kerascli.interop.keras.objects import short_number
from kerascli.interop.keras_import.calls import KerasLayer
from kerascli.ops.base import Axes, Numbers, Op, Sizes
from kerascli.ops.expression import LEFT_OUT

_OF_SHAPES = frozenset({"size", "ndim"})
"""Operations that return a Python number in an expression of kerascli, but a tensor in Keras's graph."""
_WRITTEN = (int, int | None, float, float | None, bool, Axes, Sizes, int | Sizes, int | Sizes | None, Numbers)
"""Type annotations of the operation arguments that must be constants, and so cannot be tensors."""
_CHANNELS = frozenset({
    "max_pool", "average_pool", "adaptive_max_pool", "adaptive_average_pool", "conv", "depthwise_conv",
    "separable_conv", "conv_transpose",
})  # fmt: skip
"""Names of operations with an argument `data_format`: Keras has channels in axis 1 if the argument says so, kerascli
always last."""

_SPARSE = "kerascli has no sparse tensors"
_ON_TORCH = "Keras refuses it on torch"

_IDLE: Mapping[str, Mapping[str, Any]] = {
    **{f"segment_{kind}": {"sorted": ANY} for kind in ("sum", "max", "min", "prod")},
    "isin": {"assume_unique": ANY},
    "moments": {"synchronized": False},
    "ctc_decode": {"beam_width": ANY, "top_paths": ANY},
    "dot_product_attention": {"flash_attention": ANY, "attn_logits_soft_cap": None},
    **{name: {"axis": 0, "retstep": False} for name in ("linspace", "logspace", "geomspace")},
    "layer_normalization": {"rms_scaling": False},
    **{name: {"sparse": False} for name in ("one_hot", "multi_hot")},
    "array": {"sparse": None, "ragged": None},
}
"""Mapping from operation to arguments that only Keras has, each with the value that changes nothing and is accepted."""

_REASONS: Mapping[str, str] = {
    "synchronized": f"moments over several devices are not supported; {_ON_TORCH}, too",
    "attn_logits_soft_cap": "Keras supports it for JAX on TPUs only; compute the attention by other operations",
    "axis": f"values are laid out along the first axis only; {_ON_TORCH}, too",
    "retstep": "the second of the two values is not a tensor of the model",
    "rms_scaling": "deprecated in Keras; use rms_normalization",
    "sparse": _SPARSE,
    "ragged": "kerascli has no ragged tensors",
}
"""Mapping from argument to the reason why import refuses every value of it, except the value in _IDLE, which has no
effect."""


class NoOperation(Exception):
    """Exception: no `expr` can express a Keras operation; its text is the reason, '' for an unknown operation."""


def expression(layer: KerasLayer, call: Call, name_of: Callable[[Ref], str]) -> str:
    """Return a Keras operation as the text of an `expr`: `matmul(a, b)`. Raises NoOperation."""
    arguments = [_literal(arg, name_of) for arg in call.args]
    if layer.class_name == "GetItem":
        return f"{arguments[0]}[{_index(call.args[1], name_of)}]"
    if (op := op_of(layer.class_name)) is None:
        reasons = {name.replace("_", ""): reason for name, reason in LEFT_OUT.items()}
        raise NoOperation(reasons.get(layer.class_name.lower(), ""))
    given = {**layer.config, **call.kwargs}
    channels_first = op.name in _CHANNELS and given.pop("data_format", None) == "channels_first"
    one_of_three = op.name == "svd" and given.pop("compute_uv", None) is False
    settings = _settings(op, given)
    _check_computed(op, call.args, settings)
    if channels_first:
        arguments[0] = f"moveaxis({arguments[0]}, 1, -1)"
    by_name = {key: _literal(value, name_of) for key, value in settings.items()}
    text = f"{op.name}({', '.join(_in_order(op, arguments, by_name))})"
    if one_of_three:  # the singular values
        return f"({text}[1])"
    if op.name in _OF_SHAPES:
        return f"array({text})"
    return f"moveaxis({text}, -1, 1)" if channels_first else text


def _settings(op: Op, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation's arguments without those that have no effect, and nulls that are defaults. Raises
    NoOperation for one that it lacks."""
    idle, settings = _IDLE.get(op.name, {}), dict[str, Any]()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in op.parameters.values())
    for key, value in given.items():
        parameter = op.parameters.get(key)
        if key in {"name", "dtype_policy"} or (key in idle and (value is None or idle[key] in (ANY, value))):
            continue
        if key in idle:
            raise NoOperation(f"'{key}: {value}': {_REASONS[key]}")
        if value is None and (parameter is None or parameter.default is None or parameter.default is parameter.empty):
            continue
        if parameter is None and not takes_any:
            raise NoOperation(f"{op.name} has no '{key}' here")
        settings[key] = value
    return settings


def _check_computed(op: Op, arguments: Sequence[Any], settings: Mapping[str, Any]) -> None:
    """Raise NoOperation if an argument that must be constant (number, axis, size) is computed by the model."""
    positional = [p for p in op.parameters.values() if p.kind is not p.KEYWORD_ONLY and p.name not in settings]
    values = {p.name: value for p, value in zip(positional, arguments, strict=False)}
    for name, value in {**values, **settings}.items():
        if name in op.parameters and op.parameters[name].annotation in _WRITTEN and list(refs(value)):
            raise NoOperation(f"its '{name}' is computed by the model, but must be a constant")


def _in_order(op: Op, arguments: list[str], by_name: dict[str, str]) -> list[str]:
    """Return an operation's arguments, as text, in the order of its signature; Keras stores some of them by name."""
    ordered: list[str] = []
    rest = list(arguments)
    several = any(p.kind is p.VAR_POSITIONAL for p in op.parameters.values())
    for name, parameter in op.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY):
            break
        if name in by_name and (rest or several or parameter.kind is parameter.POSITIONAL_ONLY):
            ordered.append(by_name.pop(name))
        elif rest:
            ordered.append(rest.pop(0))
        else:
            break
    return [*ordered, *rest, *(f"{key}={value}" for key, value in by_name.items())]


def _literal(value: Any, name_of: Callable[[Ref], str]) -> str:
    match value:
        case Ref():
            return name_of(value)
        case None:
            return "None"
        case bool():
            return "true" if value else "false"
        case list():
            return "[" + ", ".join(_literal(item, name_of) for item in value) + "]"
        case {"class_name": "__numpy__" | "__tensor__", "config": {"value": numbers}}:
            return _literal(numbers, name_of)
        case str():
            return json.dumps(value)
        case _:
            return repr(short_number(value)) if isinstance(value, int | float) else "?"


def _index(value: Any, name_of: Callable[[Ref], str]) -> str:
    """Return the text of a tensor's index, such as `1:3, 0`, without the brackets."""
    if isinstance(value, list):
        return ", ".join(_index(item, name_of) for item in value)
    match value:
        case {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}:
            first, last = (("" if n is None else _literal(n, name_of)) for n in (start, stop))
            return f"{first}:{last}" + ("" if step is None else f":{_literal(step, name_of)}")
        case {"class_name": "__ellipsis__"}:
            return "..."
        case _:
            return _literal(value, name_of)
