"""References to names in a config's strings, `$name` and `$(expression)`; `$$` is a literal `$`."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from kerascli.foundation.errors import show
from kerascli.language.expressions.numbers import Value, Values, evaluate
from kerascli.language.expressions.parser import parse
from kerascli.language.expressions.tree import ExpressionError, Name, Node, names_in

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FACT = re.compile(r"(inputs|targets)(\.[A-Za-z_][A-Za-z0-9_]*)+", re.ASCII)
"""Pattern of the names that contain dots (`inputs.x.shape`); all other names end at a dot: `$name.keras` is `$name` and
the text `.keras`."""


class Reference(NamedTuple):
    """Reference in a string: its expression's syntax tree and column (from 1), and its start and end in the string."""

    tree: Node
    column: int
    start: int
    end: int


def has_reference(text: str) -> bool:
    """Return True if a string has a `$`, of a reference to substitute or of an escaped `$$`."""
    return "$" in text


def substitute(text: str, names: Values) -> Value:
    """Return a string with its references replaced by values; if it is one single reference, return the value itself.

    Raises ExpressionError with columns in `text`.
    """
    parts = list(_parts(text))
    if len(parts) == 1 and isinstance(parts[0], Reference):
        return _evaluate(parts[0], names)
    return "".join(part if isinstance(part, str) else _format(_evaluate(part, names), part) for part in parts)


def references(text: str) -> list[Reference]:
    """Return the list of references (`$name`, `$(expression)`) in a string. Raises ExpressionError."""
    return [part for part in _parts(text) if isinstance(part, Reference)]


def names_referred_to(written: Any) -> set[str]:
    """Return the set of names that references in a config value use, including values nested in it."""
    if isinstance(written, str) and has_reference(written):
        try:
            return {name for each in references(written) for name in names_in(each.tree)}
        except ExpressionError:  # reported when the text is evaluated
            return set(_NAME.findall(written))
    items = written.values() if isinstance(written, dict) else written if isinstance(written, list) else ()
    return {name for item in items for name in names_referred_to(item)}


def _parts(text: str) -> Iterator[str | Reference]:
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        if dollar > position:
            yield text[position:dollar]
        part = "$" if text.startswith("$$", dollar) else _reference(text, dollar)
        yield part
        position = dollar + 2 if isinstance(part, str) else part.end
    if position < len(text):
        yield text[position:]


def _reference(text: str, dollar: int) -> Reference:
    start = dollar + 1
    if text.startswith("(", start):
        end = _closing(text, start)
        try:
            return Reference(parse(text[start + 1 : end]), start + 2, dollar, end + 1)
        except ExpressionError as error:
            raise error.shifted(start + 1) from None
    if (match := _FACT.match(text, start) or _NAME.match(text, start)) is None:
        raise ExpressionError("'$' starts a reference, $name or $(...); a literal '$' is written '$$'", dollar + 1)
    return Reference(Name(1, len(match.group()), match.group()), start + 1, dollar, match.end())


def _closing(text: str, opening: int) -> int:
    """Return the position of the closing bracket for the opening one at `opening`, ignoring brackets in quotes."""
    depth, quote = 0, ""
    for position in range(opening, len(text)):
        character = text[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
            if depth == 0:
                return position
    raise ExpressionError("the bracket of '$(' is never closed", opening, 2)


def _evaluate(reference: Reference, names: Values) -> Value:
    try:
        return evaluate(reference.tree, names)
    except ExpressionError as error:
        raise error.shifted(reference.column - 1) from None


def _format(value: Value, reference: Reference) -> str:
    if isinstance(value, list) or value is None:
        length = reference.end - reference.start
        raise ExpressionError(f"{show(value)} cannot be inserted into a text", reference.start + 1, length)
    return str(value).lower() if isinstance(value, bool) else str(value)
