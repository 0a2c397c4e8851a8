"""Conversion of pydantic's validation errors into config errors with messages in the config's terms."""

import re
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from kerascli.foundation.errors import Fault, Path, counted, dotted, in_yaml, nearest, one_of, show, suggestion
from kerascli.language.foreign_words import ADDED, ELSEWHERE, EXAMPLES, INPUT_SIZES, KEYS, NAMES, NEEDLESS, NOTHING

_KINDS = {
    "int_type": "an integer", "int_parsing": "an integer", "int_from_float": "an integer",
    "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false",
    "string_type": "text", "tuple_type": "a list", "list_type": "a list", "dict_type": "a mapping",
    "model_type": "a mapping", "none_required": "nothing (null)",
}  # fmt: skip

_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
_TEXTS = {
    "finite_number": "must be a finite number, got {got}",
    "too_long": "expected {max_length} values, got {actual_length}",
}


def fault_list(error: ValidationError, owner: type[BaseModel], written: Path = ()) -> list[Fault]:
    """Return the config errors in pydantic's ValidationError; the config path of each begins with `written`."""
    faults: list[Fault] = []
    missing: dict[Path, list[str]] = {}
    details = error.errors(include_url=False)
    if (nameless := _nameless(details, owner)) is not None:
        return [nameless.below(written)]
    unknown = [str(d["loc"][-1]) for d in details if d["type"] == "extra_forbidden"]
    meant = {word for key in unknown if (word := meant_key(key, owner.model_fields))}
    for detail in details:
        if detail["type"] == "missing":
            if detail["loc"][-1] not in meant:  # else it is present, misspelt: one fault is enough
                missing.setdefault(detail["loc"][:-1], []).append(str(detail["loc"][-1]))
            continue
        own = getattr(detail.get("ctx", {}).get("error"), "faults", None)  # the faults of an Invalid
        faults += [describe(dict(detail), owner)] if own is None else [fault.below(detail["loc"]) for fault in own]
    faults += [describe_missing(names, path, owner) for path, names in missing.items()]
    return [fault.below(written) for fault in _without_repeats(faults)]


def _nameless(details: Sequence[Any], owner: type[BaseModel]) -> Fault | None:
    """Return the config error of arguments in braces without names (`dense: {64, relu}`); None for other errors."""
    written = next((d["input"] for d in details if d["type"] == "missing" and len(d["loc"]) == 1), None)
    has_names = isinstance(written, dict) and written.keys() & owner.model_fields.keys()
    if not isinstance(written, dict) or not written or has_names or any(v is not None for v in written.values()):
        return None
    hint = _positional_hint(owner, list(written))
    return Fault(f"{_title(owner)}: its arguments have no names", (), "key", hint=hint) if hint else None


def _positional_hint(owner: type[BaseModel], values: Any, name: str | None = None) -> str | None:
    """Return a hint that gives the arguments of a component, a list, their names; `name` is the one that got them."""
    names: list[str] = getattr(owner, "positional", list)()
    if not isinstance(values, list) or not 0 < len(values) <= len(names) or name not in {None, names[0]}:
        return None
    settings = dict(zip(names, values, strict=False))
    try:
        owner.model_validate(settings)
    except ValidationError:  # other arguments are meant
        return None
    alone = name is not None and len(values) == 1
    return f"write {in_yaml(values[0])}" if alone else f"write {_title(owner)}: {in_yaml(settings)}"


def _without_repeats(faults: list[Fault]) -> Iterator[Fault]:
    """Yield one config error per config path: pydantic reports an error for each member of a union; the deepest one is
    kept."""
    seen = {fault.path[:length] for fault in faults for length in range(len(fault.path))}
    for fault in faults:
        if fault.at == "value":
            if fault.path in seen:
                continue
            seen.add(fault.path)
        yield fault


def describe(detail: dict[str, Any], owner: type[BaseModel]) -> Fault:
    """Return one error detail of pydantic as a config error; its path is relative to the arguments of `owner`."""
    path = _without_union_tags(detail["loc"])
    name = dotted(path)
    kind, value, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _describe_extra(detail["loc"], value, owner)
    if kind in _KINDS:
        hint = _type_hint(kind, value) or _positional_hint(owner, value, name)
        return Fault(f"{name or _title(owner)}: expected {_KINDS[kind]}, got {show(value)}", path, hint=hint)
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        limit = int(context[key]) if float(context[key]).is_integer() else context[key]
        text = f"{name}: must be {words} {limit}, got {show(value)}"
        return Fault(text, path, hint=_bound_hint(key, context[key], value))
    if kind == "invalid_key":
        return Fault(f"expected the name of an argument, got {show(value)}", path, "key", hint="write name: value")
    if kind == "literal_error":
        words = _literals(context["expected"])
        close = suggestion(value, words) if isinstance(value, str) else ""
        return Fault(f"{name}: expected {one_of(words)}, got {show(value)}{close}", path)
    if kind == "too_short":  # of lists of any length; too short lists of a fixed length are reported as "missing"
        least = counted(context["min_length"], "value")
        return Fault(f"{name}: expected at least {least}, got {context['actual_length'] or 'none'}", path)
    if kind in _TEXTS:
        return Fault(f"{name}: {_TEXTS[kind].format(got=show(value), **context)}", path)
    if kind == "value_error":
        return Fault(f"{name}: {context['error']}" if name else str(context["error"]), path)
    return Fault(f"{name}: {detail['msg'][:1].lower()}{detail['msg'][1:]}, got {show(value)}", path)


def _describe_extra(loc: tuple[str | int, ...], value: Any, owner: type[BaseModel]) -> Fault:
    """Return the config error of a key that `owner` does not have."""
    key, title = loc[-1], _title(owner)  # the key as written, even if it looks like a member of a union
    path = (*_without_union_tags(loc[:-1]), key)
    reason = getattr(owner, "reason_against", lambda _: None)(str(key))
    explained = hasattr(owner, "component_name")
    fault = unknown_key(str(key), value, path, title, list(owner.model_fields), reason=reason, explained=explained)
    component_hint = getattr(owner, "component_hint", None)
    if component_hint is None or fault.hint is not None or "did you mean" in fault.text:
        return fault
    return replace(fault, hint=component_hint(str(key), value, title))


def describe_missing(names: list[str], path: Path, owner: type[BaseModel]) -> Fault:
    """Return one config error for all missing required arguments, or for the missing items of a list (numbers)."""
    if names[0].isdigit():
        return Fault(f"{dotted(path)}: expected {int(names[-1]) + 1} values, got {names[0]}", path)
    needs = " and ".join(f"'{name}'" for name in names)
    hint = "add " + ", ".join(f"{name}: {_example(owner, name)}" for name in names)
    return Fault(f"{_title(owner)} needs {needs}", path, "key", hint=hint)


def _title(owner: type[BaseModel]) -> str:
    named = getattr(owner, "component_name", "") or getattr(owner, "title", "")
    return named or owner.__name__.removesuffix("Spec").lower()


def _without_union_tags(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return pydantic's error location without the items that name members of a union ('int', 'tuple[...]')."""
    tags = {"int", "float", "bool", "str", "none", "constrained-int", "constrained-float", "constrained-str"}
    return tuple(p for p in loc if not (isinstance(p, str) and (p in tags or "[" in p or "(" in p)))


def meant_key(key: str, names: Collection[str]) -> str | None:
    """Return the known key that an unknown one stands for: its counterpart for another library's name, or the most
    similar."""
    foreign = KEYS.get(key)
    return foreign if foreign in names else nearest(key, names)


def named_here(kind: str, name: str) -> str | None:
    """Return kerascli's name of another library's component (a layer, loss ...); None if there is none."""
    return NAMES.get(kind, {}).get(_foreign_key(name))


def line_to_write(name: str, fields: Sequence[str], foreign: str, arguments: Any) -> str:
    """Return the line that a config needs for a component (layer, loss ...) of another library, as a hint.

    `fields` are the arguments of the component `name`; `arguments` those written after `foreign`: a mapping, a single
    value, None, or `...` for those of a call, which are not read.
    """
    key = _foreign_key(foreign)
    if arguments is ... and fields and key not in ADDED.keys() | INPUT_SIZES:
        return f"{name}: {{{fields[0]}: ...}}"
    single = not isinstance(arguments, Mapping) and arguments not in (None, ...) and key not in INPUT_SIZES
    settings: dict[str, Any] = dict.fromkeys(fields[:1], arguments) if single else {}
    for argument, value in arguments.items() if isinstance(arguments, Mapping) else ():
        settings |= translated(str(argument), value, fields)
    settings = {**settings, **ADDED.get(key, {})} or dict(EXAMPLES.get(key, {}))
    if not settings:
        return name
    alone = single and list(settings) == list(fields[:1])
    return f"{name}: {in_yaml(settings[fields[0]] if alone else settings)}"


def list_to_write(kind: str, written: str, find: Callable[[str], str | None]) -> str | None:
    """Return a hint for names without brackets (`accuracy, auc`), and for what is no component here; else None."""
    words = [word.strip() for word in written.split(",")]
    names = [name for word in words if (name := named_here(kind, word) or find(word))]
    hints = [f"a list is written {in_yaml(names)}"] if names and len(words) > 1 else []
    return "; ".join([*hints, *(ELSEWHERE[_foreign_key(w)] for w in words if _foreign_key(w) in ELSEWHERE)]) or None


def vector_to_write(text: str) -> str | None:
    """Return R's vector `c(1, 2)` as a list of YAML; None for any other text."""
    return f"[{text[2:-1]}]" if text.startswith("c(") and text.endswith(")") else None


def translated(key: str, value: Any, fields: Sequence[str]) -> dict[str, Any]:
    """Return a component's settings (among `fields`) for one argument of another library; empty if none corresponds."""
    if key == "betas" and isinstance(value, list) and len(value) == 2 and "beta_2" in fields:
        return {"beta_1": value[0], "beta_2": value[1]}
    name = key if key in fields else KEYS.get(key)
    if name not in fields:
        return {}
    if key == "hidden_layer_sizes" and isinstance(value, list) and value:
        value = value[0]
    if key == "padding" and isinstance(value, int):
        value = "same" if value else "valid"
    return {str(name): value}


def _foreign_key(name: str) -> str:
    """Return a Python name in lower case, without underscores and the modules in front: `nn.Linear` is `linear`."""
    return name.rpartition(".")[2].lower().replace("_", "")


def key_to_write(key: str, value: Any, fields: Sequence[str]) -> str | None:
    """Return a hint with the line to write for an argument of another library; None if the key is just misspelt."""
    settings = translated(key, value, fields) if key in KEYS else {}
    return f"write {in_yaml(settings)[1:-1]}" if settings else None


def unknown_key(
    key: str, value: Any, path: Path, title: str, names: list[str], *, reason: str | None, explained: bool
) -> Fault:
    """Return the config error of an unknown key in `title`; `reason` says why a key that Keras has is not supported
    there."""
    if (reason := reason or NEEDLESS.get(key)) is not None:
        return Fault(f"{title} has no '{key}': {reason}", path, "key", hint=f"remove '{key}'")
    meant = meant_key(key, names)
    more = f"; did you mean '{meant}'?" if meant else ""
    hint = key_to_write(key, value, names)
    if not more and names and len(names) <= 6:
        more = f"; it takes {', '.join(names)}"
    elif not more and explained:
        hint = f"'kerascli explain {title}' lists its arguments"
    return Fault(f"unknown key '{key}' in {title}{more}", path, "key", hint=hint)


def _bound_hint(bound: str, limit: float, value: Any) -> str | None:
    """Return a hint to write a fraction (0.2) in place of a percentage (20), if the limit is 1; else None."""
    is_share = bound in {"lt", "le"} and limit == 1
    is_percentage = isinstance(value, int | float) and value == value // 1 and 5 <= value <= 100
    return f"a share, not a percentage: write {value / 100:g}" if is_share and is_percentage else None


_ARITHMETIC = re.compile(r"[\d.()]+(\s*(\*\*|[-+*/])\s*[\d.()]+)+\Z")
_BOOLEANS = {"yes": "true", "on": "true", "t": "true", "no": "false", "off": "false", "f": "false"}


def _type_hint(kind: str, value: Any) -> str | None:
    """Return a hint with what to write for a value of the wrong type, if its text shows what was meant; else None."""
    if isinstance(value, str):
        if value in NOTHING:
            return "write null, or leave the key out"
        if (items := vector_to_write(value)) is not None:
            return f"write {items}"
        if kind.startswith(("int", "float")):
            return number_hint(value)
    if kind.startswith("int") and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if kind in {"tuple_type", "list_type"} and not isinstance(value, dict):
        return f"write [{value}]"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in _BOOLEANS:
        return f"'{value}' is text in YAML 1.2; write {_BOOLEANS[value.lower()]}"
    return None


def number_hint(value: str) -> str | None:
    """Return a hint with what to write for a number that is text (`0,5`, `30%`, `1/255`); None for other text."""
    if _is_number(value):
        return f"remove the quotes: {value}"
    if _is_number(value.replace(",", ".")):
        return f"use a decimal point: {value.replace(',', '.')}"
    if value.endswith("%") and _is_number(value[:-1]):
        return f"write {float(value[:-1]) / 100:g}"
    if value.endswith("L") and _is_number(value[:-1]):
        return f"write {value[:-1]}"
    if _ARITHMETIC.match(value):
        return f"an expression is written in $( ): $({value})"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _literals(expected: str) -> list[str]:
    return [word.strip().strip("'") for word in expected.replace(" or ", ", ").split(",")]


def _example(owner: type[BaseModel], field: str) -> str:
    annotation = owner.model_fields[field].annotation if field in owner.model_fields else None
    members = typing.get_args(annotation) or (annotation,)
    words = [word for member in members for word in (member, *typing.get_args(member)) if isinstance(word, str)]
    return words[0] if words else "64" if int in members else "0.5" if float in members else "..."


def snake_case(name: str) -> str:
    """Return a class name in snake case: MaxPooling2D -> max_pooling_2d, LSTM -> lstm, AdamW -> adam_w."""
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
