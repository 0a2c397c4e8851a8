"""Translate calls and classes of other libraries to the line of a config: `Linear(4, 3)` is `dense: {units: 3}`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerascli.errors import in_yaml
from kerascli.foreign_words import ADDED, ELSEWHERE, EXAMPLES, KEYS, NAMES, NEEDLESS, POSITIONS

_CALL = re.compile(r"\s*([A-Za-z][\w.]*)\s*\((.*)\)\s*\Z", re.S)
_KEYWORD = re.compile(r"\s*([A-Za-z_.]\w*)\s*=(?!=)\s*(.+)\Z", re.S)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?L?\Z", re.I)
_WORDS = {"TRUE": True, "True": True, "T": True, "FALSE": False, "False": False, "F": False, "NULL": None, "None": None}
NOTHING = frozenset({"None", "NULL", "nil", "NA", "undefined"})
"""Words for null in other languages (`None`, `NULL` ...), which a config reads as text."""


@dataclass(frozen=True, slots=True)
class ForeignCall:
    """Call of a function or class, as R and Python write it, with its arguments as data."""

    name: str
    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]


def read_call(text: str) -> ForeignCall | None:
    """Return a call such as `name(1, key = value)`, parsed without evaluating anything; None for any other text."""
    match = _CALL.match(text)
    if match is None:
        return None
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for part in _parts(match[2]):
        keyword = _KEYWORD.match(part)
        if keyword is None:
            positional.append(_value(part))
        else:
            keywords[keyword[1]] = _value(keyword[2])
    return ForeignCall(match[1], tuple(positional), keywords)


def vector(text: str) -> list[Any] | None:
    """Return the items of R's vector `c(1, 2)`; None for any other text."""
    call = read_call(text)
    return list(call.positional) if call is not None and call.name == "c" and not call.keywords else None


def simple(name: str) -> str:
    """Return a Python name without the modules in front: `nn.Linear` becomes `Linear`."""
    return name.rpartition(".")[2]


def named_here(kind: str, name: str) -> str | None:
    """Return kerascli's name of another library's component (a layer, loss ...); None if there is none."""
    return NAMES.get(kind, {}).get(_key(name))


def list_to_write(kind: str, written: str, find: Callable[[str], str | None]) -> str | None:
    """Return a hint for names without brackets (`accuracy, auc`), and for what is no component here; else None."""
    words = [word.strip() for word in written.split(",")]
    names = [name for word in words if (name := named_here(kind, word) or find(word))]
    known = [f"a list is written {in_yaml(names)}"] if names and len(words) > 1 else []
    return "; ".join([*known, *(ELSEWHERE[_key(word)] for word in words if _key(word) in ELSEWHERE)]) or None


def line_to_write(name: str, fields: Sequence[str], foreign: str, arguments: Any) -> str:
    """Return the line that a config needs for a component (layer, loss ...) of another library, as a hint.

    `fields` are the arguments of the component `name`; `arguments` those of `foreign`, as written: a `ForeignCall`, a
    mapping, a single value, or None.
    """
    given: dict[str, Any] = {}
    for key, value in _arguments(simple(foreign), fields, arguments):
        given |= translated(key, value, fields)
    given = {**given, **ADDED.get(_key(foreign), {})} or dict(EXAMPLES.get(_key(foreign), {}))
    if not given:
        return name
    alone = len(given) == 1 and next(iter(given)) == fields[0] and not _is_named(arguments)
    return f"{name}: {in_yaml(given[fields[0]] if alone else given)}"


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


def _is_named(arguments: Any) -> bool:
    """Return False for a single argument without a name (`Linear(64)`): the config line can omit the name, too."""
    if isinstance(arguments, ForeignCall):
        return bool(arguments.keywords) or len(arguments.positional) != 1
    return isinstance(arguments, Mapping) or arguments is None


def _arguments(foreign: str, fields: Sequence[str], arguments: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) for the arguments of another library's component, except those that kerascli does not use."""
    positional: Sequence[Any] = ()
    keywords: Mapping[Any, Any] = {}
    match arguments:
        case ForeignCall():
            positional, keywords = arguments.positional, arguments.keywords
        case Mapping():
            keywords = arguments
        case None:
            pass
        case _:
            positional = [arguments]
    names = POSITIONS.get(foreign, tuple(fields))
    yield from zip(names, positional, strict=False)
    yield from ((str(key), value) for key, value in keywords.items() if key not in NEEDLESS)


def _parts(text: str) -> Iterator[str]:
    """Yield the texts of a call's arguments: the parts between commas that are outside of brackets and quotes."""
    depth, quote, start = 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    if text[start:].strip():
        yield text[start:]


def _value(text: str) -> Any:
    """Return an argument of a call as data: numbers, booleans, text in quotes, c(...) and tuples; else as text."""
    text = text.strip()
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.match(text):
        number = text.rstrip("L")
        return int(number) if re.fullmatch(r"[-+]?\d{1,18}", number) else float(number)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if match := re.fullmatch(r"c?\((.*)\)|\[(.*)\]", text, re.S):
        return [_value(part) for part in _parts(match[1] or match[2] or "")]
    return text


def _key(name: str) -> str:
    return simple(name).lower().replace("_", "")
