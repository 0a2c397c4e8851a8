"""Settings (arguments) of components and sections as data: name, JSON Schema, default, description."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from kerascli.language.component import Component, changed_arguments, plain

Schema = dict[str, Any]
"""Type of a JSON Schema; {"x-component": kind} in it stands for a component of a kind, {"x-section": name} for a
section."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Setting of a component or section as data: name, JSON Schema, description and default."""

    name: str
    schema: Schema
    meaning: str
    """Description, which is the docstring of the setting's field."""
    required: bool = False
    default: Any = None
    """Default in the form of a config; None: null, or no default."""

    def described(self) -> Schema:
        """Return the JSON Schema of the setting, with its description and default, which an editor shows."""
        shown: Schema = {"description": self.meaning} if self.meaning else {}
        if self.default is not None:
            shown["default"] = self.default
        return shown | self.schema


class _Schemas(GenerateJsonSchema):
    """Pydantic's JSON Schema generator without its warnings about defaults that JSON cannot represent.

    `plain` converts such defaults.
    """

    ignored_warning_kinds = {"non-serializable-default", "skipped-choice"}  # noqa: RUF012  # pydantic declares it so


def settings(cls: type[BaseModel]) -> list[Setting]:
    """Return the arguments of a component class, or the keys of a section class, each as a Setting.

    They are in the order of the class's fields; a component's first argument, which a config may give without its name,
    comes before all others, and `trainable` after them.
    """
    whole = whole_schema(cls)
    fields = [_setting(cls, name, whole) for name in cls.model_fields]
    first = cls.first_argument() if issubclass(cls, Component) else None
    if first is None:
        return fields
    return sorted(fields, key=lambda setting: (setting.name != first, setting.name == "trainable"))


def first_line(cls: type[BaseModel]) -> str:
    """Return the first line of a component or section class's own docstring; '' if it has only an inherited one."""
    return (cls.__dict__.get("__doc__") or "").strip().partition("\n")[0]


def whole_schema(cls: type[BaseModel]) -> Schema:
    """Return pydantic's JSON Schema of a component or section class; a recursive class is expanded once."""
    schema = cls.model_json_schema(schema_generator=_Schemas)
    return {**schema, **schema.get("$defs", {}).get(cls.__name__, {})}


def _setting(cls: type[BaseModel], name: str, whole: Schema) -> Setting:
    info = cls.model_fields[name]
    key = info.alias or name
    schema = _cleaned(whole["properties"][key], whole.get("$defs", {}))
    required = info.is_required()
    default = None if required else plain(info.get_default(call_default_factory=True), _short)
    text = _meaning(cls, name)
    while _is_one_for_all(schema) and isinstance(default, list) and all(item == default[0] for item in default):
        default = default[0]
    return Setting(key, schema, text, required, default)


def _cleaned(schema: Schema, definitions: Schema) -> Schema:
    """Return pydantic's JSON Schema without titles and defaults; its references are expanded, except those to sections.

    A list of sizes also accepts its short form, one number for all axes.
    """
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "x-section" in schema:
        return {"x-section": schema["x-section"]}
    own = {key: value for key, value in schema.items() if key not in {"title", "default", "description"}}
    return _with_short_form(mapped(own, lambda inner: _cleaned(inner, definitions)))


def mapped(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return a JSON Schema with `change` applied to each direct subschema: its alternatives, items, properties."""
    out = dict(schema)
    for key in schema.keys() & {"anyOf", "prefixItems"}:
        out[key] = [change(item) for item in schema[key]]
    for key in schema.keys() & {"items", "additionalProperties"}:
        out[key] = change(schema[key]) if isinstance(schema[key], dict) else schema[key]
    if "properties" in schema:
        out["properties"] = {name: change(item) for name, item in schema["properties"].items()}
    return out


def _with_short_form(schema: Schema) -> Schema:
    """Return a schema that accepts one integer in place of a list of sizes (`shapes.Size2D`), which pydantic omits."""
    items = schema.get("prefixItems", [])
    if not items or any(item != items[0] for item in items):
        return schema
    number = next(options(items[0]))  # each item of `shapes.Margin2D` has its own short form
    if number.get("type") != "integer" or (items[0] != number and not _is_one_for_all(items[0])):
        return schema
    count = len(items)
    return {"anyOf": [number, {"type": "array", "items": items[0], "minItems": count, "maxItems": count}]}


def _is_one_for_all(schema: Schema) -> bool:
    return {"integer", "array"} <= {option.get("type") for option in options(schema)}


def options(schema: Schema) -> Iterator[Schema]:
    """Yield the alternatives (`anyOf`) of a JSON Schema, also nested ones."""
    if "anyOf" not in schema:
        yield schema
        return
    for option in schema["anyOf"]:
        yield from options(option)


def _short(component: Component) -> Any:
    """Return a component as a config writes it, with the arguments alone that differ from their defaults."""
    own = changed_arguments(component)
    return {component.component_name: plain(own, _short)} if own else component.component_name


def _meaning(cls: type[BaseModel], field: str) -> str:
    """Return the description of a setting (a field of `cls`): the docstring below it, else its type's, else an empty
    text."""
    own = (base for base in cls.__mro__ if base.__module__ not in {"builtins", "abc", "typing"})
    below = next((docs[field] for base in own if field in (docs := _docs_of(base))), None)
    if below is not None:
        return below
    infos = (getattr(base, "model_fields", {}).get(field) for base in cls.__mro__)
    return next((info.description for info in infos if info is not None and info.description), "")


@cache
def _docs_of(cls: type) -> dict[str, str]:
    """Return a mapping from each field of a class to the docstring below it."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError):  # a class made at run time has no source
        return {}
    docs: dict[str, str] = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, below in pairwise(statements):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                docs[name] = inspect.cleandoc(text)
    return docs
