"""YAML writer; the strict reader in this folder reads its output back as equal data."""

import json
import re
from collections.abc import Mapping
from typing import Any

from kerascli.config.yaml.scalars import ScalarError, read_scalar

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z0-9_./$()+-]([A-Za-z0-9_./$()+*^ -]*[A-Za-z0-9_./$()+*^-])?\Z")
"""Pattern of text that needs no quotes in YAML, even inside [] and {}; `- x` and `--- x` are checked separately."""


def dump_yaml(data: Mapping[Any, Any]) -> str:
    """Return data as YAML: mappings with their keys in order, short lists on one line.

    Scalars are texts, finite numbers, booleans and null. Raises TypeError for other values.
    """
    return "\n".join(_mapping(data, "")) + "\n" if data else "{}\n"


def flow_yaml(value: Any) -> str:
    """Return a value as YAML on one line: {units: 64}, [1, null]."""
    return _flow(value)


def _mapping(data: Mapping[Any, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for key, value in data.items():
        lines += _entry(f"{indent}{_scalar(key)}:", value, indent + "  ")
    return lines


def _entry(head: str, value: Any, indent: str) -> list[str]:
    """Return the YAML lines of a key and its value: one line if the value is short, else with the value
    below the key."""
    if _fits(value, len(head) + 1):
        return [f"{head} {_flow(value)}"]
    return [head, *(_mapping(value, indent) if isinstance(value, Mapping) else _list(value, indent))]


def _list(items: list[Any] | tuple[Any, ...], indent: str) -> list[str]:
    lines: list[str] = []
    for item in items:
        if _fits(item, len(indent) + 2):
            lines.append(f"{indent}- {_flow(item)}")
            continue
        below = _mapping(item, indent + "  ") if isinstance(item, Mapping) else _list(item, indent + "  ")
        lines += [f"{indent}- {below[0].lstrip(' ')}", *below[1:]]
    return lines


def _fits(value: Any, column: int) -> bool:
    """Return True for values to write on one YAML line: scalars, empty collections and short lists of scalars."""
    if not isinstance(value, (Mapping, list, tuple)) or not value:
        return True
    if isinstance(value, Mapping) or any(isinstance(item, (Mapping, list, tuple)) and item for item in value):
        return False
    return column + len(_flow(value)) <= _WIDTH


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        text = repr(value)
        if read_scalar(text) != value:  # raises for numbers that are not finite or too large
            raise TypeError(f"{type(value).__name__} is no plain number")
        return text
    if isinstance(value, str):
        return _text(value)
    raise TypeError(f"{type(value).__name__} cannot be written as YAML")


def _text(text: str) -> str:
    if _PLAIN.match(text) and text.count("(") == text.count(")") and not text.startswith(("- ", "---", "...")):
        try:
            if read_scalar(text) == text and text != "-":
                return text
        except ScalarError:
            pass
    if text.isprintable() and text.isascii():
        return "'" + text.replace("'", "''") + "'"
    # JSON's escapes are YAML's, but for characters beyond the first 65,536, which need no escape
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
