"""The settings of a component or a section as facts: name, JSON Schema, default, meaning."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from kerascli.component import Component
from kerascli.config.schema.meanings import meaning

Schema = dict[str, Any]
"""A piece of JSON Schema; {"x-component": kind} stands for a component of a kind, {"x-section": name} for a section."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key that a user may write. `default` is as a config writes it, None too where there is none."""

    name: str
    schema: Schema
    meaning: str
    required: bool = False
    default: Any = None

    def described(self) -> Schema:
        """The schema with what an editor shows: meaning and default."""
        told: Schema = {"description": self.meaning} if self.meaning else {}
        if self.default is not None:
            told["default"] = self.default
        return {**told, **self.schema}


class _Schemas(GenerateJsonSchema):
    """Does not warn of defaults that JSON cannot say: they are written by us."""

    ignored_warning_kinds = {"non-serializable-default", "skipped-choice"}  # noqa: RUF012  # pydantic declares it so


def settings(cls: type[BaseModel]) -> list[Setting]:
    """The fields of a component, or of a section's spec, in order; the first argument comes first."""
    whole = whole_schema(cls)
    found = [_setting(cls, name, whole) for name in cls.model_fields]
    first = cls.first_argument() if issubclass(cls, Component) else None
    if first is None:
        return found
    return sorted(found, key=lambda setting: (setting.name != first, setting.name == "trainable"))


def first_line(cls: type[BaseModel]) -> str:
    """What a component or a section is, in a line; bases' docstrings are not its own."""
    return (cls.__dict__.get("__doc__") or "").strip().partition("\n")[0]


def whole_schema(cls: type[BaseModel]) -> Schema:
    """Pydantic's schema of a class, which for one that is within itself stands among the definitions."""
    schema = cls.model_json_schema(schema_generator=_Schemas)
    return {**schema, **schema.get("$defs", {}).get(cls.__name__, {})}


def _setting(cls: type[BaseModel], name: str, whole: Schema) -> Setting:
    info = cls.model_fields[name]
    key = info.alias or name
    schema = _cleaned(whole["properties"][key], whole.get("$defs", {}))
    required = info.is_required()
    default = None if required else _written(info.get_default(call_default_factory=True))
    text = meaning(cls, name)
    while _is_one_for_all(schema) and isinstance(default, list) and all(item == default[0] for item in default):
        default = default[0]
    return Setting(key, schema, text, required, default)


def _cleaned(schema: Schema, definitions: Schema) -> Schema:
    """Without titles and defaults, references but those to sections written out, and with the short form of sizes."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "x-section" in schema:
        return {"x-section": schema["x-section"]}
    out: Schema = {}
    for key, value in schema.items():
        if key in {"anyOf", "prefixItems"}:
            out[key] = [_cleaned(item, definitions) for item in value]
        elif key == "properties":
            out[key] = {name: _cleaned(item, definitions) for name, item in value.items()}
        elif key in {"items", "additionalProperties"} and isinstance(value, dict):
            out[key] = _cleaned(value, definitions)
        elif key not in {"title", "default", "description"}:
            out[key] = value
    return _with_short_form(out)


def _with_short_form(schema: Schema) -> Schema:
    """A size for each axis may be one number for all (`shapes.Size2D`); pydantic tells of the list alone."""
    items = schema.get("prefixItems", [])
    if not items or any(item != items[0] for item in items):
        return schema
    number = next(options(items[0]))  # of `shapes.Margin2D` each item has a short form of its own
    if number.get("type") != "integer" or (items[0] != number and not _is_one_for_all(items[0])):
        return schema
    count = len(items)
    return {"anyOf": [number, {"type": "array", "items": items[0], "minItems": count, "maxItems": count}]}


def _is_one_for_all(schema: Schema) -> bool:
    return {"integer", "array"} <= {option.get("type") for option in options(schema)}


def options(schema: Schema) -> Iterator[Schema]:
    """The alternatives of a schema, nested ones too."""
    if "anyOf" not in schema:
        yield schema
        return
    for option in schema["anyOf"]:
        yield from options(option)


def _written(value: Any) -> Any:
    """A default as a user would write it: of a component only what is not its own default."""
    if isinstance(value, Component):
        fields = type(value).model_fields
        own = {name: getattr(value, name) for name, info in fields.items()
               if info.is_required() or getattr(value, name) != info.default}  # fmt: skip
        return {value.component_name: _written(own)} if own else value.component_name
    if isinstance(value, tuple | list):
        return [_written(item) for item in value]
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        return value.model_dump()
    return value
