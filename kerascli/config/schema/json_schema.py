"""The language as a JSON Schema (draft 2020-12), for editors: made from the registries, so it knows what they know."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kerascli.component import Component, Registry, registries
from kerascli.config.schema.sections import Section, node_settings, sections
from kerascli.config.schema.settings import Schema, Setting, first_line, settings
from kerascli.layers.base import LAYERS
from kerascli.model.syntax.schema import FirstLayerKeys, RepeatEach, RepeatTimes

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Schema = {"$ref": "#/$defs/reference"}


def json_schema() -> Schema:
    """The schema of a config."""
    parts = sections()
    whole = parts.pop("config")
    definitions: dict[str, Schema] = {
        "reference": {"type": "string", "pattern": r"\$(\(|[A-Za-z_])"},  # $name or $(expression)
        "pipeline": _pipeline(),
        "entry": _entry(),
        "call": _call(),
        **{name: _section(section) for name, section in parts.items()},
    }
    for registry in registries().values():
        definitions |= _kind(registry)
    definitions |= _nodes()
    return {
        "$schema": DIALECT,
        "title": "A kerascli config",
        **_section(whole),
        **_required_unless_extending([whole, parts["model"], parts["data"]]),
        "$defs": dict(sorted(definitions.items())),
    }


def _section(section: Section) -> Schema:
    """A section's keys. In a config that extends another one `null` takes a key away."""
    properties = {}
    for setting in section.settings:
        accepted = replace(setting, schema={"anyOf": [setting.schema, {"type": "null"}]})
        properties[setting.name] = _value(accepted.described())
    return {"description": section.meaning, **_closed(properties)}


def _required_unless_extending(required: list[Section]) -> Schema:
    """What a config needs may stand in the one that it extends; so may what its layers call by name."""
    top, *below = ([s.name for s in section.settings if s.required] for section in required)
    inner: Schema = {section.name: {"required": names} for section, names in zip(required[1:], below, strict=True)}
    has_own_names = {"anyOf": [{"required": ["shared"]}, {"required": ["blocks"]}]}
    layers_alone = {"properties": {"layers": {"items": {"not": {"$ref": "#/$defs/call"}}}}}
    alone = {"required": ["shared", "outputs"]}  # a model that is what it shares under the name of its output
    inner["model"] = {"anyOf": [inner["model"], alone], "if": has_own_names, "else": layers_alone}
    return {"if": {"required": ["extends"]}, "else": {"required": top, "properties": inner}}


def _pipeline() -> Schema:
    """A list of steps, at first perhaps the columns; a lone step needs no list, a name may be that of a shared one."""
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
    """An entry of `layers`: a layer, a repeat, or a call of what the config itself names, which is no layer."""
    forms = [_arguments(settings(cls)) for cls in (RepeatTimes, RepeatEach)]
    repeat = {**_closed({"repeat": {"anyOf": forms}}), "required": ["repeat"]}
    return {"anyOf": [{"$ref": "#/$defs/node"}, repeat, {"$ref": "#/$defs/call"}]}


def _call() -> Schema:
    """A shared thing or a block by a name of the config's own, with anything after it."""
    words = [word for cls in LAYERS for word in (cls.component_name, *LAYERS.aliases(cls.component_name))]
    layer = _any_spelling(LAYERS, words).removeprefix("^").removesuffix("$")
    own = f"^(?!(?:{layer}|repeat)$)[A-Za-z_][A-Za-z0-9_]*$"
    mapping = {**_closed({}), "patternProperties": {own: {}}, "minProperties": 1, "maxProperties": 1}
    return {"anyOf": [mapping, {"type": "string", "pattern": own}]}


def _kind(registry: Registry[Any]) -> dict[str, Schema]:
    """`kind`, in its three written forms, and `kind.name` for what may stand after each `name:`."""
    kind, forms, plain = registry.kind, {}, []
    for cls in registry:
        found = settings(cls)
        forms[cls.component_name] = _after_name(cls, found, [])
        if not any(setting.required for setting in found):
            plain.append(cls.component_name)
    return _definitions(kind, registry, forms, plain)


def _nodes() -> dict[str, Schema]:
    """Layers as entries of `model.layers`: node keys and call arguments stand beside their settings."""
    forms, plain, first = {}, [], settings(FirstLayerKeys)
    for cls in LAYERS:
        found, beside = settings(cls), [*node_settings(cls), *first]
        forms[cls.component_name] = _after_name(cls, found, beside)
        if not any(setting.required for setting in (*found, *beside)):
            plain.append(cls.component_name)
    return _definitions("node", LAYERS, forms, plain)


def _after_name(cls: type[Component], found: list[Setting], beside: list[Setting]) -> Schema:
    """What stands after `name:`: all arguments, or the first one alone where no other is needed."""
    known = {setting.name: setting for setting in (*beside, *found)}  # a setting wins over a call argument
    arguments = _arguments(known.values())
    first = next((setting for setting in beside if setting.name == "inputs" and setting.required), None)
    first = first or known.get(cls.first_argument() or "")
    forms = [arguments]
    if first is not None and set(arguments["required"]) <= {first.name}:
        forms.append(_value(first.schema))
    return {"description": first_line(cls), "anyOf": forms}


def _definitions(kind: str, registry: Registry[Any], forms: dict[str, Schema], plain: list[str]) -> dict[str, Schema]:
    references: dict[str, Schema] = {name: {"$ref": f"#/$defs/{kind}.{name}"} for name in forms}
    spellings = {name: _any_spelling(registry, [name, *registry.aliases(name)]) for name in forms}
    mapping: Schema = {
        **_closed(references),  # the canonical names, which an editor offers
        "patternProperties": {spellings[name]: reference for name, reference in references.items()},
        "minProperties": 1,
        "maxProperties": 1,
    }
    bare: list[Schema] = []
    if plain:
        told = [first_line(registry.get(name)) for name in plain]  # beside each name, where an editor offers it
        bare = [
            {"enum": plain, "enumDescriptions": told},
            {"type": "string", "pattern": "|".join(spellings[name] for name in plain)},
        ]
    whole: Schema = {"anyOf": [*bare, mapping, _REFERENCE]}  # not described: editors tell the innermost description
    return {kind: whole, **{f"{kind}.{name}": form for name, form in forms.items()}}


def _any_spelling(registry: Registry[Any], names: Iterable[str]) -> str:
    """A pattern for the spellings that the registry takes for one of `names`: any case, any underscores, R's prefix.

    Not R's prefix where another component is called so: layer_normalization is no normalization.
    """

    def loosely(word: str) -> str:
        return "_?".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in word.replace("_", ""))

    def spelling(name: str) -> str:
        free = [prefix for prefix in registry.spelled.prefixes if registry.find(prefix + name) is registry.find(name)]
        return "".join(f"(?:{loosely(prefix)}_?)?" for prefix in free)

    by_prefix: dict[str, list[str]] = {}
    for name in names:
        by_prefix.setdefault(spelling(name), []).append(loosely(name))
    parts = [f"{prefix}(?:{'|'.join(words)})" for prefix, words in by_prefix.items()]
    return f"^{parts[0]}$" if len(parts) == 1 else f"^(?:{'|'.join(parts)})$"


def _arguments(found: Iterable[Setting]) -> Schema:
    """A mapping of these settings alone."""
    found = list(found)
    required = [setting.name for setting in found if setting.required]
    return {**_closed({setting.name: _value(setting.described()) for setting in found}), "required": required}


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _value(schema: Schema) -> Schema:
    """A schema of ours as a standard one, in which a reference may stand wherever a value may."""
    told = {key: schema[key] for key in ("description", "default") if key in schema}
    options = [option for part in schema.get("anyOf", [schema]) for option in _options(part)]
    if {"type": "string"} not in options and _REFERENCE not in options:
        options.append(_REFERENCE)
    return {**told, "anyOf": options}


def _options(schema: Schema) -> list[Schema]:
    """The alternatives of a schema, references left out at this level."""
    if "anyOf" in schema:
        return [option for part in schema["anyOf"] for option in _options(part)]
    if "x-component" in schema or "x-section" in schema:
        return [{"$ref": f"#/$defs/{schema.get('x-component') or schema['x-section']}"}]
    if "x-pipeline" in schema or "x-node" in schema:
        return [{"$ref": "#/$defs/pipeline" if "x-pipeline" in schema else "#/$defs/entry"}]
    out = {key: value for key, value in schema.items() if key not in {"description", "default"}}
    if isinstance(schema.get("items"), dict):
        out["items"] = _value(schema["items"])
    if "prefixItems" in schema:
        out["prefixItems"] = [_value(item) for item in schema["prefixItems"]]
    if isinstance(schema.get("additionalProperties"), dict):
        out["additionalProperties"] = _value(schema["additionalProperties"])
    if "properties" in schema:
        out["properties"] = {name: _value(item) for name, item in schema["properties"].items()}
    return [out]
