"""Assignment of the values in `compile` to the model's outputs: by name, by position, or one for all."""

from collections.abc import Collection, Iterable
from typing import Any

from pydantic import WithJsonSchema

from kerascli.foundation.errors import Fault, Path, suggestion
from kerascli.language.component import Invalid, Registry

Written = dict[str, tuple[Any, Path]]
"""Type of a mapping from output name to the config's value for it and the path of that value below `compile`."""

ANY = "?"
"""Placeholder for the name of a model's output when the outputs are unknown."""


def by_output(schema: dict[str, Any]) -> WithJsonSchema:
    """Return the annotation of a `compile` field with one value for all outputs, or one for each by position or
    name."""
    forms = [schema, {"type": "array", "items": schema}]
    named = {"type": "object", "additionalProperties": {"anyOf": [*forms, {"type": "null"}]}}
    return WithJsonSchema({"anyOf": [*forms, named]})


def per_output(
    key: str,
    value: Any,
    outputs: Collection[str] | None,
    *,
    registry: Registry[Any] | None = None,
    targets: Collection[str] = (),
) -> Written:
    """Return, by output name, the value of a key of `compile` (`loss`, `metrics` ...) for that output.

    Raises Invalid, with paths below `compile`. `registry` is that of the values' kind; None: they are numbers.
    `outputs` None: the model could not be parsed.
    """
    if value is None:
        return {}
    if isinstance(value, dict) and value and _is_by_output(value, outputs, registry):
        wrong = [] if outputs is None else [name for name in value if name not in outputs]
        if wrong:
            raise Invalid(_unknown(key, name, outputs or (), targets) for name in wrong)
        return {name: (written, (key, name)) for name, written in value.items()}
    if outputs is None or len(outputs) == 1:
        name = ANY if outputs is None else next(iter(outputs))
        alone = isinstance(value, list) and len(value) == 1 and key in {"loss", "loss_weights"}
        return {name: (value[0], (key, 0)) if alone else (value, (key,))}
    if isinstance(value, list) and len(value) == len(outputs) and _is_by_position(key, value):
        return {name: (value[index], (key, index)) for index, name in enumerate(outputs)}
    if key == "loss" and not isinstance(value, list):
        return dict.fromkeys(outputs, (value, (key,)))
    hint = f"{key}: {{{next(iter(outputs))}: ...}}"
    raise Invalid([Fault(f"{key}: the model has {len(outputs)} outputs; name one of them", (key,), hint=hint)])


def _is_by_output(value: dict[Any, Any], outputs: Collection[str] | None, registry: Registry[Any] | None) -> bool:
    """Return True if the keys of a mapping are (perhaps misspelt) output names; False if it is a component with its
    arguments."""
    if registry is None or any(name in (outputs or ()) for name in value):
        return True
    if any(registry.find(str(name)) for name in value):
        return False
    return all(_is_component_form(written, registry) for written in value.values())


def _is_component_form(written: Any, registry: Registry[Any]) -> bool:
    """Return True for a value that is a component (`mse`, `{mse: ...}`) or a list of components."""
    if isinstance(written, list):
        return all(_is_component_form(item, registry) for item in written)
    name = next(iter(written)) if isinstance(written, dict) and len(written) == 1 else written
    return isinstance(name, str) and registry.find(name) is not None


def _is_by_position(key: str, value: Iterable[Any]) -> bool:
    """Return True if a list in `compile` has one item per output; a flat list of metrics belongs to a single output."""
    return key in {"loss", "loss_weights"} or all(isinstance(item, list) for item in value)


def _unknown(key: str, name: Any, outputs: Collection[str], targets: Collection[str]) -> Fault:
    if name in targets:
        text = f"'{name}' is a target; expected the name of an output"
    else:
        text = f"there is no output '{name}'{suggestion(str(name), outputs)}"
    return Fault(text, (key, name), "key", hint=f"outputs: {', '.join(outputs)}")
