"""JSON Schema (draft 2020-12) of a config, for editors, generated from section classes and registered components."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kerascli.config.schema.sections import Section, node_settings, sections
from kerascli.config.schema.settings import Schema, Setting, first_line, mapped, options, settings
from kerascli.language.component import Component, Registry, registries
from kerascli.layers.base import LAYERS
from kerascli.model.syntax.schema import FirstLayerKeys, RepeatEach, RepeatTimes

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Schema = {"$ref": "#/$defs/reference"}


def json_schema() -> Schema:
    """Return the JSON Schema of a config."""
    parts = dict(sections())
    whole = parts.pop("config")
    definitions: dict[str, Schema] = {
        "reference": {"type": "string", "pattern": r"\$(\(|[A-Za-z_])"},  # $name or $(expression)
        "pipeline": _pipeline(),
        "entry": _entry(),
        "call": _call(),
        **{name: _section(section) for name, section in parts.items()},
    }
    base = definitions["model.shared.base"]
    with_arguments = {**base, "additionalProperties": {}, "required": ["application"]}  # they are those of the network
    definitions["model.shared.base"] = {"anyOf": [base, with_arguments]}
    for registry in registries().values():
        definitions |= _definitions(registry.kind, registry, {cls: [] for cls in registry})
    first = settings(FirstLayerKeys)
    definitions |= _definitions("node", LAYERS, {cls: [*node_settings(cls), *first] for cls in LAYERS})
    return {
        "$schema": DIALECT,
        "title": "A kerascli config",
        **_section(whole),
        **_required_unless_extending([whole, parts["model"], parts["data"]]),
        "$defs": dict(sorted(definitions.items())),
    }


def _section(section: Section) -> Schema:
    """Return the JSON Schema of a config section; every key accepts null, which deletes it in a config with
    `extends`."""
    properties = {}
    for setting in section.settings:
        accepted = replace(setting, schema={"anyOf": [setting.schema, {"type": "null"}]})
        properties[setting.name] = _value(accepted.described())
    return {"description": section.meaning, **_closed(properties)}


def _required_unless_extending(required: list[Section]) -> Schema:
    """Return the JSON Schema of a config's required keys; with `extends` the base config may have them instead.

    Without `extends`, `layers` may also call only names under the config's own `shared` and `blocks`.
    """
    top, *below = ([s.name for s in section.settings if s.required] for section in required)
    inner: Schema = {section.name: {"required": names} for section, names in zip(required[1:], below, strict=True)}
    has_own_names = {"anyOf": [{"required": ["shared"]}, {"required": ["blocks"]}]}
    layers_alone = {"properties": {"layers": {"items": {"not": {"$ref": "#/$defs/call"}}}}}
    alone = {"required": ["shared", "outputs"]}  # the model is the shared model that `outputs` names
    inner["model"] = {"anyOf": [inner["model"], alone], "if": has_own_names, "else": layers_alone}
    return {"if": {"required": ["extends"]}, "else": {"required": top, "properties": inner}}


def _pipeline() -> Schema:
    """Return the JSON Schema of a preprocessing pipeline: a list of steps, optionally after columns; or a single step.

    A name may be that of a shared transform.
    """
    columns = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    step = {
        "anyOf": [
            {"$ref": "#/$defs/transform"},
            {"type": "string", "not": {"$ref": "#/$defs/transform"}, "description": "A shared transform."},
            {**_closed({"columns": columns}), "required": ["columns"]},
        ]
    }
    return {"anyOf": [{"type": "array", "items": step}, step, {"type": "null"}]}


def _entry() -> Schema:
    """Return the JSON Schema of an item of `layers`: a layer, a repeat, or a call of a shared layer, model or block."""
    forms = [_arguments(settings(cls)) for cls in (RepeatTimes, RepeatEach)]
    repeat = {**_closed({"repeat": {"anyOf": forms}}), "required": ["repeat"]}
    return {"anyOf": [{"$ref": "#/$defs/node"}, repeat, {"$ref": "#/$defs/call"}]}


def _call() -> Schema:
    """Return the JSON Schema of a call of a shared layer, model or block in `layers`: a name that no layer has, with
    any arguments."""
    words = [word for cls in LAYERS for word in (cls.component_name, *LAYERS.aliases(cls.component_name))]
    own = f"^(?!(?:{'|'.join(words)}|repeat)$)[A-Za-z_][A-Za-z0-9_]*$"
    mapping = {**_closed({}), "patternProperties": {own: {}}, "minProperties": 1, "maxProperties": 1}
    return {"anyOf": [mapping, {"type": "string", "pattern": own}]}


def _after_name(cls: type[Component], node_keys: list[Setting]) -> Schema:
    """Return the JSON Schema of a component's arguments, as written after its `name:`.

    It is a mapping of arguments, or the value of the first argument if no other is required.
    """
    by_name = {setting.name: setting for setting in (*node_keys, *settings(cls))}  # a setting wins over a call argument
    arguments = _arguments(by_name.values())
    first = next((setting for setting in node_keys if setting.name == "inputs" and setting.required), None)
    first = first or by_name.get(cls.first_argument() or "")
    forms = [arguments]
    if first is not None and set(arguments["required"]) <= {first.name}:
        forms.append(_value(first.schema))
    return {"description": first_line(cls), "anyOf": forms}


def _definitions(kind: str, registry: Registry[Any], classes: Mapping[type[Any], list[Setting]]) -> dict[str, Schema]:
    """Return JSON Schemas of components: `layer` for a layer in any written form, `layer.dense` for the arguments of
    `dense`; `classes` maps each to the keys besides its arguments."""
    names = {word: cls for cls in classes for word in (cls.component_name, *registry.aliases(cls.component_name))}
    references: Schema = {name: {"$ref": f"#/$defs/{kind}.{cls.component_name}"} for name, cls in names.items()}
    mapping: Schema = {**_closed(references), "minProperties": 1, "maxProperties": 1}
    plain = [name for name, cls in names.items() if not any(each.required for each in (*settings(cls), *classes[cls]))]
    descriptions = [first_line(names[name]) for name in plain]  # editors show it with each completion
    bare: Schema = {"enum": plain, "enumDescriptions": descriptions}
    whole: Schema = {
        "anyOf": [*([bare] if plain else []), mapping, _REFERENCE]
    }  # editors show the innermost description
    return {kind: whole, **{f"{kind}.{cls.component_name}": _after_name(cls, keys) for cls, keys in classes.items()}}


def _arguments(keys: Iterable[Setting]) -> Schema:
    """Return the JSON Schema of a mapping that accepts only `keys` as keys."""
    keys = list(keys)
    required = [setting.name for setting in keys if setting.required]
    return {**_closed({setting.name: _value(setting.described()) for setting in keys}), "required": required}


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _value(schema: Schema) -> Schema:
    """Return the schema of a setting as standard JSON Schema that also accepts a reference ($name) as the value."""
    shown = {key: schema[key] for key in ("description", "default") if key in schema}
    forms = list(map(_form, options(schema)))
    if {"type": "string"} not in forms and _REFERENCE not in forms:
        forms.append(_REFERENCE)
    return {**shown, "anyOf": forms}


def _form(schema: Schema) -> Schema:
    """Return the standard JSON Schema of an alternative of a setting's schema."""
    names = {"x-component": schema.get("x-component"), "x-section": schema.get("x-section"),
             "x-pipeline": "pipeline", "x-node": "entry"}  # fmt: skip
    if name := next((name for key, name in names.items() if key in schema), None):
        return {"$ref": f"#/$defs/{name}"}
    return mapped({key: value for key, value in schema.items() if key not in {"description", "default"}}, _value)
