"""Operations of keras.ops in a Keras graph -> an `expr` over the names of nodes."""

import json
from collections.abc import Callable
from typing import Any

from kerascli.interop.calls import Call, KerasLayer, Ref
from kerascli.interop.names import op_of
from kerascli.interop.objects import short_number
from kerascli.ops.base import OPS, Op

_IDLE = frozenset({"name", "dtype_policy"})


def expression(layer: KerasLayer, call: Call, name_of: Callable[[Ref], str]) -> str | None:
    """`matmul(a, b)`; None for an operation that there is none of."""
    arguments = [_literal(arg, name_of) for arg in call.args]
    if layer.class_name == "GetItem":
        return f"{arguments[0]}[{_index(call.args[1], name_of)}]"
    function = op_of(layer.class_name)
    op = None if function is None else OPS.find(function)
    if op is None:
        return None
    settings = {key: value for key, value in {**layer.config, **call.kwargs}.items() if key not in _IDLE}
    if any(value not in (None, False) for key, value in settings.items() if key not in op.parameters):
        return None
    known = {key: value for key, value in settings.items() if value is not None and key in op.parameters}
    given = {key: _literal(value, name_of) for key, value in known.items()}
    return f"{function}({', '.join(_in_order(op, arguments, given))})"


def _in_order(op: Op, arguments: list[str], given: dict[str, str]) -> list[str]:
    """Keras keeps some of an operation's first arguments as settings: they stand where the operation has them."""
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
    """What stands in the brackets of x[...]."""
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
