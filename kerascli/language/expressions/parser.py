"""Pratt parser of expressions, with Python's operator precedence and limits on length and nesting."""

import math
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from kerascli.foundation.errors import safe_text
from kerascli.language.expressions import tree as syntax
from kerascli.language.expressions.suggestions import CHARACTERS
from kerascli.language.expressions.tree import ExpressionError, Node

T = TypeVar("T")

MAX_BRACKETS = 50
MAX_DEPTH = 150
"""Maximum depth of a syntax tree, which has the operands of a sum one inside the other; brackets have another limit."""
MAX_INTEGER = 10**18

_BINDING = {
    "if": 1, "or": 2, "and": 3, "<": 5, "<=": 5, ">": 5, ">=": 5, "==": 5, "!=": 5,
    "+": 6, "-": 6, "*": 7, "/": 7, "//": 7, "%": 7, "@": 7, "**": 9, "(": 10, "[": 10,
}  # fmt: skip
_NOT, _COMPARISON, _SIGN, _POWER = 4, 5, 8, 9
_CONSTANTS = {"true": True, "True": True, "false": False, "False": False, "none": None, "None": None, "null": None}
_NO_OPERAND = {
    "if", "else", "and", "or", "<", "<=", ">", ">=", "==", "!=", "*", "/", "//", "%", "@", "**",
    ")", "]", ",", ":", "=", "...",
}  # fmt: skip
RESERVED = frozenset({
    "prev", "input", "y_true", "y_pred", "sample_weight", "training", "batch_size", "_",
    "if", "else", "and", "or", "not", *_CONSTANTS,
})  # fmt: skip
"""Words that no node, input or target can be called."""

MAX_LENGTH = 10_000

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>(?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
    | (?P<text>'[^'\\\n]*'|"[^"\\\n]*")
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<operator>\.\.\.|\*\*|//|==|!=|<=|>=|[-+*/%@<>=()\[\],:])
    | (?P<other>.)""",
    re.VERBOSE | re.ASCII,
)


class Token(NamedTuple):
    """Token of an expression's text; its kind is `number`, `text`, `name`, `operator` or `end`."""

    kind: str
    text: str
    column: int

    @property
    def place(self) -> tuple[int, int]:
        """Column and length of the token, the first two values of each node."""
        return self.column, max(1, len(self.text))

    def error(self, text: str) -> ExpressionError:
        return ExpressionError(text, *self.place)

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.text}'"


def parse(text: str) -> Node:
    """Parse the text of an expression to a syntax tree. Raises ExpressionError."""
    parser = _Parser(tokenize(text))
    tree = parser.expression()
    if parser.token.kind != "end":
        raise parser.unexpected("an operator")
    _refuse_deep(tree)
    return tree


def _refuse_deep(tree: Node) -> None:
    """Raise ExpressionError for a tree with more than MAX_DEPTH levels, such as that of a sum of more terms."""
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in syntax.children(node)]
    if level:
        raise level[0].error(_too_deep(f"{MAX_DEPTH} operations"))


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0
        self._brackets = 0

    @property
    def token(self) -> Token:
        return self._tokens[self._position]

    def expression(self, binding: int = 0) -> Node:
        """Parse an operand and the following operators with a precedence above `binding`; return the syntax tree."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.token.error(_too_deep(f"{MAX_DEPTH} operations"))
        left = self._operand(binding)
        while _BINDING.get(self.token.text, 0) > binding and self.token.kind in {"operator", "name"}:
            left = self._continue(left)
        self._depth -= 1
        return left

    def unexpected(self, expected: str) -> ExpressionError:
        if self.token.text == "=":
            return self.token.error("'=' gives a keyword argument its value inside a call; equality is '=='")
        return self.token.error(f"expected {expected}, got {self.token}")

    # operands

    def _operand(self, binding: int) -> Node:
        token = self.token
        if token.kind == "end" or token.text in _NO_OPERAND or (token.text == "not" and binding > _NOT):
            raise self.unexpected("a value")
        self._next()
        if token.kind == "number":
            return syntax.Literal(*token.place, _number(token))
        if token.kind == "text":
            return syntax.Literal(*token.place, token.text[1:-1])
        if token.text == "not":
            return syntax.Unary(*token.place, "not", self.expression(_NOT))
        if token.kind == "name":
            if token.text in _CONSTANTS:
                return syntax.Literal(*token.place, _CONSTANTS[token.text])
            return syntax.Name(*token.place, token.text)
        if token.text in {"-", "+"}:
            return syntax.Unary(*token.place, token.text, self.expression(_SIGN))
        is_tuple = token.text == "("
        items, ends_in_comma = self._items(")" if is_tuple else "]", self.expression)
        if is_tuple and len(items) == 1 and not ends_in_comma:
            return items[0]
        return syntax.Items(*token.place, items, is_tuple)

    def _items(self, closing: str, item: Callable[[], T]) -> tuple[tuple[T, ...], bool]:
        """Parse comma-separated items up to a closing bracket by `item`; return them, and True if they end in a
        comma."""
        items, ends_in_comma = list[T](), False
        self._brackets += 1
        if self._brackets > MAX_BRACKETS:
            raise self.token.error(_too_deep(f"{MAX_BRACKETS} brackets"))
        while self.token.text != closing:
            items.append(item())
            ends_in_comma = self.token.text == ","
            if not ends_in_comma:
                break
            self._next()
        if self.token.text != closing:
            raise self.unexpected(f"'{closing}'")
        self._next()
        self._brackets -= 1
        return tuple(items), ends_in_comma

    # what follows an operand

    def _continue(self, left: Node) -> Node:
        token = self._next()
        operator = token.text
        if operator == "(":
            return self._call(left, token)
        if operator == "[":
            return self._index(left, token)
        if operator == "if":
            test = self.expression(_BINDING["if"])
            if self.token.text != "else":
                raise self.unexpected("'else'")
            self._next()
            return syntax.Conditional(*token.place, left, test, self.expression())
        if _BINDING[operator] == _COMPARISON:
            return self._comparison(left, token)
        # a power is right-associative, and its right side can have a sign
        right = self.expression(_POWER - 1 if operator == "**" else _BINDING[operator])
        return syntax.Binary(*token.place, operator, left, right)

    def _comparison(self, left: Node, first: Token) -> syntax.Comparison:
        operators, operands = [first.text], [left, self.expression(_COMPARISON)]
        while _BINDING.get(self.token.text) == _COMPARISON:
            operators.append(self._next().text)
            operands.append(self.expression(_COMPARISON))
        return syntax.Comparison(*first.place, tuple(operators), tuple(operands))

    def _call(self, function: Node, opening: Token) -> syntax.Call:
        if not isinstance(function, syntax.Name):
            raise opening.error("only a function can be called, by its name")
        arguments: list[Node] = []
        keywords: dict[str, syntax.Keyword] = {}

        def argument() -> None:
            following = self._tokens[self._position + 1] if self.token.kind == "name" else self.token
            if following.text == "=":
                name = self._next()
                if name.text in keywords or "." in name.text:
                    twice = f"the argument '{name.text}' is given twice"
                    raise name.error(twice if name.text in keywords else "invalid name")
                self._next()
                keywords[name.text] = syntax.Keyword(*name.place, name.text, self.expression())
            elif keywords:
                raise self.token.error("an argument without a name cannot follow one with a name")
            else:
                arguments.append(self.expression())

        self._items(")", argument)
        return syntax.Call(function.column, function.length, function.name, tuple(arguments), tuple(keywords.values()))

    def _index(self, value: Node, opening: Token) -> syntax.Index:
        if self.token.text == "]":
            raise self.unexpected("an index")
        items, _ = self._items("]", self._index_item)
        return syntax.Index(*opening.place, value, items)

    def _index_item(self) -> Node:
        first = self.token
        if first.text == "...":
            self._next()
            return syntax.Everything(*first.place)
        parts = [None if self.token.text == ":" else self.expression()]
        while self.token.text == ":" and len(parts) < 3:
            self._next()
            parts.append(None if self.token.text in {":", ",", "]"} else self.expression())
        if len(parts) == 1 and parts[0] is not None:
            return parts[0]
        start, stop, step = (*parts, None, None)[:3]
        return syntax.Slice(*first.place, start, stop, step)

    def _next(self) -> Token:
        token = self.token
        if token.kind != "end":
            self._position += 1
        return token


def _too_deep(what: str) -> str:
    return f"more than {what} nested; split the expression into named parts"


def _number(token: Token) -> int | float:
    text = token.text
    if not re.fullmatch(r"[0-9]+", text):
        if not math.isfinite(value := float(text)):
            raise token.error(f"'{text}' is not a finite number")
        return value
    if len(text) > 1 and text.startswith("0"):
        raise token.error(f"ambiguous number '{text}': no leading zeros")
    if len(text) > 19 or int(text) > MAX_INTEGER:
        raise token.error("an integer is at most 10^18")
    return int(text)


def tokenize(text: str) -> list[Token]:
    """Split the text of an expression into tokens, followed by one of kind `end`. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression has at most {MAX_LENGTH:,} characters, this one has {len(text):,}", 1)
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind, end = str(match.lastgroup), match.end()
        if kind == "other":
            raise _unknown(text, match.start())
        if kind != "space":
            tokens.append(Token(kind, match.group(), match.start() + 1))
        if kind == "number" and re.match(r"[A-Za-z0-9_]", text[end:]):
            raise ExpressionError(f"a number cannot end in '{text[end]}'", end + 1)
    return [*tokens, Token("end", "", len(text) + 1)]


def _unknown(text: str, position: int) -> ExpressionError:
    character = text[position]
    if character in "'\"":
        return ExpressionError("a quoted text that is not closed, or contains a backslash", position + 1)
    meant = CHARACTERS.get(character, "names have the letters a to z, digits and '_'" if character.isalpha() else "")
    return ExpressionError(f"unexpected '{safe_text(character)}'{meant and '; '}{meant}", position + 1)
