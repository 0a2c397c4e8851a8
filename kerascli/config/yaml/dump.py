"""YAML writer for configs; kerascli's strict reader reads its output back as equal data."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from kerascli.config.yaml.scalars import ScalarError, read_scalar

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z0-9_./$()+-]([A-Za-z0-9_./$()+*^ -]*[A-Za-z0-9_./$()+*^-])?\Z")
"""Pattern of text that needs no quotes in YAML, even inside [] and {}; `- x` and `--- x` are checked separately."""


def dump_yaml(data: Mapping[Any, Any]) -> str:
    """Return data as YAML: mappings with their keys in order, short lists on one line.

    Scalars are texts, finite numbers, booleans and null. Raises TypeError for other values.
    """
    return "\n".join(block_yaml(data, _fits)) + "\n" if data else "{}\n"


def block_yaml(data: Any, fits: Callable[[Any, Any, int], bool], indent: str = "") -> list[str]:
    """Return a mapping or list as lines of YAML in block style, with values in flow style where they fit.

    A value is on the line of its key, or of its hyphen, if `fits(key, value, column)` is True (key None: an item of a
    list). `indent` is the indentation of the lines.
    """
    lines: list[str] = []
    for key, value in data.items() if isinstance(data, Mapping) else ((None, item) for item in data):
        head = f"{indent}-" if key is None else f"{indent}{_scalar(key)}:"
        if fits(key, value, len(head) + 1):
            is_bare = key is None and isinstance(value, Mapping) and len(value) == 1  # `- dropout: 0.2` has no braces
            lines.append(f"{head} {flow_yaml(value)[1:-1] if is_bare else flow_yaml(value)}")
            continue
        below = block_yaml(value, fits, indent + "  ")
        lines += [head, *below] if key is not None else [f"{head} {below[0].lstrip(' ')}", *below[1:]]
    return lines


def _fits(key: Any, value: Any, column: int) -> bool:
    """Return True for values to write on one YAML line: scalars, empty collections and short lists of scalars."""
    if not isinstance(value, (Mapping, list, tuple)) or not value:
        return True
    if isinstance(value, Mapping) or any(isinstance(item, (Mapping, list, tuple)) and item for item in value):
        return False
    return column + len(flow_yaml(value)) <= _WIDTH


def flow_yaml(value: Any) -> str:
    """Return a value as YAML on one line: {units: 64}, [1, null]."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {flow_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow_yaml(item) for item in value) + "]"
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
        with suppress(ScalarError):
            if read_scalar(text) == text and text != "-":
                return text
    if text.isprintable() and text.isascii():
        return "'" + text.replace("'", "''") + "'"
    # JSON's escapes are YAML's, but for characters beyond the first 65,536, which need no escape
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
