"""Describe the types of a config's settings in words: `positive integer or 2 of them`, `valid or same`."""

import re
from collections.abc import Sequence
from typing import Any

from kerascli.config.schema.settings import Schema, options
from kerascli.foundation.errors import one_of
from kerascli.language.kinds import plural

_LARGEST = 2**53
_NOUN = re.compile(r"^((positive )?(integer|number)|list|mapping)\b|^(\[.*\]|shape|text|name|pipeline|section)$")
"""Pattern of the noun in the words for a type, which gets an `s` in the plural."""
_TYPES = {"string": "text", "boolean": "true or false", "null": "null", "object": "mapping"}


def type_words(schema: Schema) -> str:
    """Return in words the types that a JSON Schema allows: `positive integer or 2 of them`; null comes last."""
    alternatives = sorted(options(schema), key=lambda option: option.get("type") == "null")
    lists = list(map(_fixed_list, alternatives))
    kept = [option for option, (item, _) in zip(alternatives, lists, strict=True) if item not in alternatives]
    return one_of(list(dict.fromkeys(word for option in kept for word in _alternatives(option, lists))))


def _alternatives(option: Schema, lists: Sequence[tuple[Schema | None, int]]) -> list[str]:
    """Return words for one alternative of a JSON Schema: the values that it lists, else its type; `lists` are the item
    and length of each alternative that is a list."""
    if option.get("type") == "boolean":
        return ["true", "false"]
    if "enum" in option and "x-component" not in option:
        return option["enum"]
    count = next((length for item, length in lists if item == option), None)
    return [f"{_one(option)} or {count} of them" if count else _one(option)]


def _fixed_list(schema: Schema) -> tuple[Schema | None, int]:
    """Return the type of the items of the lists that a JSON Schema allows, and their length, if it is fixed and all
    items have one type; else (None, 0)."""
    items, length = schema.get("prefixItems", []), schema.get("minItems", 0)
    if items:
        return (items[0], len(items)) if all(item == items[0] for item in items) else (None, 0)
    return (schema.get("items"), length) if length and length == schema.get("maxItems") else (None, 0)


def _one(schema: Schema) -> str:
    kind = schema.get("type")
    if "x-component" in schema:
        return schema["x-component"]
    if "x-section" in schema:
        return {"rnn.cell": "custom cell"}.get(schema["x-section"], "section")
    if "x-pipeline" in schema:
        return "pipeline"
    if "enum" in schema:
        return one_of(schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if kind in {"integer", "number"}:
        return _number(schema)
    if kind == "array":
        return _list(schema)
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping of names to {_many(schema['additionalProperties'])}"
    if kind == "object" and "properties" in schema:
        return f"mapping of {' and '.join(schema['properties'])}"
    return "name" if "pattern" in schema else _TYPES.get(str(kind), "anything")


def _number(schema: Schema) -> str:
    noun = schema["type"]
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum", _LARGEST), schema.get("exclusiveMaximum")
    high = None if high >= _LARGEST else high
    if (above == 0 or (low == 1 and noun == "integer")) and high is None and below is None:
        return f"positive {noun}"
    bounds = {"above": above, "from": low, "up to": high, "below": below}
    return " ".join([noun, *(f"{word} {_plain(bound)}" for word, bound in bounds.items() if bound is not None)])


def _list(schema: Schema) -> str:
    if {option.get("type") for option in options(schema.get("items", {}))} == {"integer", "null"}:
        return "shape"  # null is an unknown size
    if "prefixItems" in schema:
        return f"[{', '.join(_one(item) for item in schema['prefixItems'])}]"
    count = schema.get("minItems")
    several = _many(schema["items"])
    return f"list of {count} {several}" if count and count == schema.get("maxItems") else f"list of {several}"


def _many(schema: Schema) -> str:
    """Return in words, as a plural, the types that a JSON Schema allows, except null."""
    several = (option for option in options(schema) if option.get("type") != "null")
    return one_of(list(dict.fromkeys(map(_plural, several))))


def _plural(schema: Schema) -> str:
    if "x-component" in schema:
        return plural(schema["x-component"])
    return "layers, as nodes" if "x-node" in schema else _NOUN.sub(r"\g<0>s", _one(schema))


def _plain(bound: Any) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
