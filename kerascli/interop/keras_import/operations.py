"""Convert operations of keras.ops in a Keras model to the text of `expr` nodes in a config."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kerascli.interop.keras.names import op_of
from kerascli.interop.keras.objects import Refusals, short_number
from kerascli.interop.keras_import.calls import Call, KerasLayer, Ref, refs
from kerascli.interop.keras_import.operation_settings import CHANNELS, remaining
from kerascli.ops.base import OPS, Axes, Numbers, Op, Sizes
from kerascli.ops.expression import LEFT_OUT

_IDLE = frozenset({"name", "dtype_policy"})
_OF_SHAPES = frozenset({"size", "ndim"})
"""Operations that return a Python number in an expression of kerascli, but a tensor in Keras's graph."""
_WRITTEN = (int, int | None, float, float | None, bool, Axes, Sizes, int | Sizes, int | Sizes | None, Numbers)
"""Type annotations of the operation arguments that must be constants, and so cannot be tensors."""


class NoOperation(Exception):
    """Exception: no `expr` can express a Keras operation; its text is the reason, '' for an unknown operation."""


def expression(layer: KerasLayer, call: Call, name_of: Callable[[Ref], str]) -> str:
    """Return a Keras operation as the text of an `expr`: `matmul(a, b)`. Raises NoOperation."""
    arguments = [_literal(arg, name_of) for arg in call.args]
    if layer.class_name == "GetItem":
        return f"{arguments[0]}[{_index(call.args[1], name_of)}]"
    function = op_of(layer.class_name)
    op = None if function is None else OPS.find(function)
    if op is None or function is None:
        raise NoOperation(_reason_left_out(layer.class_name))
    settings = {key: value for key, value in {**layer.config, **call.kwargs}.items() if key not in _IDLE}
    settings, reason = remaining(function, settings)
    if reason is not None:
        raise NoOperation(reason)
    channels_first = function in CHANNELS and settings.pop("data_format", None) == "channels_first"
    one_of_three = settings.pop("compute_uv", True) is False
    known = {key: value for key, value in settings.items() if value is not None or not _is_none_by_default(op, key)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in op.parameters.values())
    if strange := [key for key in known if key not in op.parameters and not takes_any]:
        raise NoOperation(f"{function} has no '{strange[0]}' here")
    _check_computed(op, call.args, known)
    if channels_first:
        arguments[0] = f"moveaxis({arguments[0]}, 1, -1)"
    given = {key: _literal(value, name_of) for key, value in known.items()}
    text = f"{function}({', '.join(_in_order(op, arguments, given))})"
    if one_of_three:  # the singular values
        return f"({text}[1])"
    if function in _OF_SHAPES:
        return f"array({text})"
    return f"moveaxis({text}, -1, 1)" if channels_first else text


def refuse(layer: KerasLayer, reason: str, refusals: Refusals) -> None:
    """Add to `refusals` that a Keras operation cannot be imported, with the reason if there is one."""
    if reason:
        refusals.add(f"{layer.name}: {layer.class_name} of keras.ops is not supported: {reason}")
    else:
        refusals.unknown(f"operation {layer.class_name} of keras.ops")


def _is_none_by_default(op: Op, key: str) -> bool:
    return key not in op.parameters or op.parameters[key].default in (None, inspect.Parameter.empty)


def _reason_left_out(class_name: str) -> str:
    reasons = {name.replace("_", ""): reason for name, reason in LEFT_OUT.items()}
    return reasons.get(class_name.lower(), "")


def _check_computed(op: Op, arguments: Sequence[Any], settings: Mapping[str, Any]) -> None:
    """Raise NoOperation if an argument that must be constant (number, axis, size) is computed by the model."""
    positional = [p for p in op.parameters.values() if p.kind is not p.KEYWORD_ONLY and p.name not in settings]
    given = {p.name: value for p, value in zip(positional, arguments, strict=False)}
    for name, value in {**given, **settings}.items():
        if name in op.parameters and op.parameters[name].annotation in _WRITTEN and list(refs(value)):
            raise NoOperation(f"its '{name}' is computed by the model, but must be a constant")


def _in_order(op: Op, arguments: list[str], given: dict[str, str]) -> list[str]:
    """Return an operation's arguments, as text, in the order of its signature; Keras stores some of them by name."""
    found: list[str] = []
    rest = list(arguments)
    several = any(p.kind is p.VAR_POSITIONAL for p in op.parameters.values())
    for name, parameter in op.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY):
            break
        if name in given and (rest or several or parameter.kind is parameter.POSITIONAL_ONLY):
            found.append(given.pop(name))
        elif rest:
            found.append(rest.pop(0))
        else:
            break
    return [*found, *rest, *(f"{key}={value}" for key, value in given.items())]


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
