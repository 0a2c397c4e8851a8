"""Tokenizer of expressions: numbers, strings, names and operators."""

import re
from dataclasses import dataclass
from typing import Literal

from kerascli.foundation.errors import safe_text
from kerascli.language.expressions.suggestions import CHARACTERS
from kerascli.language.expressions.tree import ExpressionError

MAX_LENGTH = 10_000

Kind = Literal["number", "text", "name", "operator", "end"]
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>(?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
    | (?P<text>'[^'\\\n]*'|"[^"\\\n]*")
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<operator>\.\.\.|\*\*|//|==|!=|<=|>=|[-+*/%@<>=()\[\],:])""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    column: int

    @property
    def length(self) -> int:
        return max(1, len(self.text))

    def error(self, text: str) -> ExpressionError:
        return ExpressionError(text, self.column, self.length)

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.text}'"


def tokenize(text: str) -> list[Token]:
    """Split the text of an expression into tokens, followed by one of kind `end`. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression has at most {MAX_LENGTH:,} characters, this one has {len(text):,}", 1)
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unknown(text, position)
        kind = match.lastgroup
        if kind != "space":
            tokens.append(Token(kind, match.group(), position + 1))  # type: ignore[arg-type]
        position = match.end()
        if kind == "number" and re.match(r"[A-Za-z0-9_]", text[position:]):
            raise ExpressionError(f"a number cannot end in '{text[position]}'", position + 1)
    return [*tokens, Token("end", "", len(text) + 1)]


def _unknown(text: str, position: int) -> ExpressionError:
    character = text[position]
    if character in "'\"":
        return ExpressionError("a quoted text that is not closed, or contains a backslash", position + 1)
    meant = CHARACTERS.get(character, "names have the letters a to z, digits and '_'" if character.isalpha() else "")
    return ExpressionError(f"unexpected '{safe_text(character)}'{meant and '; '}{meant}", position + 1)
