"""Syntax tree of expressions: frozen nodes, each with its column (from 1) and length in the expression's text."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self, dataclass_transform


class ExpressionError(ValueError):
    """Raised for an error in an expression; `column` (from 1) and `length` are its position in the text."""

    def __init__(self, text: str, column: int, length: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.column = column
        self.length = length

    def shifted(self, columns: int) -> Self:
        """Return the error with `columns` added to its column, for a text that contains the expression."""
        self.column += columns
        return self


class UnknownName(ExpressionError):
    """Raised for an undefined name in an expression; `meant` suggests what to write, or is empty."""

    def __init__(self, name: str, meant: str, column: int, length: int) -> None:
        super().__init__(f"unknown name '{name}'{meant}", column, length)
        self.name = name
        self.meant = meant


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Node:
    """Node of a syntax tree; subclasses are frozen dataclasses, too."""

    column: int
    length: int

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)

    def error(self, text: str) -> ExpressionError:
        """Return the error `text` at the node's position."""
        return ExpressionError(text, self.column, self.length)


class Literal(Node):
    """A literal: a number, a quoted string, true, false or none."""

    value: int | float | str | bool | None


class Everything(Node):
    """An ellipsis `...` in an index: all axes that are not indexed."""


class Name(Node):
    """A name, dots included: `z`, `a.features`, `targets.y.num_classes`."""

    name: str


class Unary(Node):
    """A unary operation: `-x`, `+x` or `not x`."""

    operator: str
    operand: Node


class Binary(Node):
    """A binary operation, `+ - * / // % ** @`, `and` or `or`; column and length are the operator's."""

    operator: str
    left: Node
    right: Node


class Comparison(Node):
    """A chained comparison `a < b <= c`: each neighbouring pair must hold."""

    operators: tuple[str, ...]
    operands: tuple[Node, ...]


class Conditional(Node):
    """A conditional expression `then if test else otherwise`."""

    then: Node
    test: Node
    otherwise: Node


class Keyword(Node):
    """A keyword argument `name=value` of a call; column and length are the name's."""

    name: str
    value: Node


class Call(Node):
    """A call `function(arguments, keyword=...)`; column and length are the function name's."""

    function: str
    arguments: tuple[Node, ...]
    keywords: tuple[Keyword, ...]

    @property
    def named(self) -> dict[str, Node]:
        """Mapping from the names of the call's keyword arguments to their values, which are syntax nodes."""
        return {keyword.name: keyword.value for keyword in self.keywords}


class Index(Node):
    """An index expression `value[items]`; an item is a node or a `Slice`."""

    value: Node
    items: tuple[Node, ...]


class Slice(Node):
    start: Node | None
    stop: Node | None
    step: Node | None


class Items(Node):
    """A list `[a, b]` or tuple `(a, b)`."""

    items: tuple[Node, ...]
    is_tuple: bool


def children(node: Node) -> Iterator[Node]:
    """Yield the child nodes of a node, from left to right."""
    for name in type(node).__match_args__[2:]:  # after column and length
        value = getattr(node, name)
        yield from (each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, Node))


def mapped(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return a copy of a syntax node with `change` applied to its children."""

    def changed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(changed, value))
        return change(value) if isinstance(value, Node) else value

    return replace(node, **{name: changed(getattr(node, name)) for name in type(node).__match_args__[2:]})


def walk(root: Node) -> Iterator[Node]:
    """Yield every node of a tree, from left to right."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending += reversed(tuple(children(node)))


def names_in(root: Node) -> dict[str, Name]:
    """Return a mapping from each name in an expression, except functions, to the node of its first occurrence."""
    names: dict[str, Name] = {}
    for node in walk(root):
        if isinstance(node, Name):
            names.setdefault(node.name, node)
    return names
