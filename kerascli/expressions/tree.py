"""What an expression is: frozen nodes, each with the column (from 1) and length of what it stands for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace


class ExpressionError(ValueError):
    """Something wrong inside an expression: `column` (from 1) and `length` point into its text."""

    def __init__(self, text: str, column: int, length: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.column = column
        self.length = length

    def shifted(self, columns: int) -> "ExpressionError":
        """The same, seen from a text in which the expression starts that much later."""
        return ExpressionError(self.text, self.column + columns, self.length)


class UnknownName(ExpressionError):
    """A name that stands for nothing where it is written; `meant` suggests another one, or is empty."""

    def __init__(self, name: str, meant: str, column: int, length: int) -> None:
        super().__init__(f"unknown name '{name}'{meant}", column, length)
        self.name = name
        self.meant = meant

    def shifted(self, columns: int) -> "UnknownName":
        return UnknownName(self.name, self.meant, self.column + columns, self.length)


@dataclass(frozen=True, slots=True)
class Node:
    column: int
    length: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A number, a quoted text, true, false or none."""

    value: int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Everything(Node):
    """`...` in an index: all axes that are not named."""


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A name, dots included: `z`, `a.features`, `targets.y.num_classes`."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-x`, `+x`, `not x`."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`+ - * / // % ** @`, and `and`, `or`; column and length are the operator's."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """`a < b <= c`: every neighbouring pair must hold."""

    operators: tuple[str, ...]
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`then if test else otherwise`."""

    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Keyword(Node):
    """`name=value` in a call; column and length are the name's."""

    name: str
    value: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`function(arguments, keyword=...)`; column and length are the function name's."""

    function: str
    arguments: tuple[Node, ...]
    keywords: tuple[Keyword, ...]

    @property
    def named(self) -> dict[str, Node]:
        """The values of the keywords by name."""
        return {keyword.name: keyword.value for keyword in self.keywords}


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`value[items]`; an item is a node or a `Slice`."""

    value: Node
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Slice(Node):
    start: Node | None
    stop: Node | None
    step: Node | None


@dataclass(frozen=True, slots=True)
class Items(Node):
    """`[a, b]` or `(a, b)`."""

    items: tuple[Node, ...]
    is_tuple: bool


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below, from left to right."""
    match node:
        case Unary():
            return (node.operand,)
        case Binary():
            return (node.left, node.right)
        case Comparison():
            return node.operands
        case Conditional():
            return (node.then, node.test, node.otherwise)
        case Call():
            return (*node.arguments, *node.named.values())
        case Index():
            return (node.value, *node.items)
        case Slice():
            return tuple(part for part in (node.start, node.stop, node.step) if part is not None)
        case Items():
            return node.items
        case _:
            return ()


def mapped(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same node over changed ones; what has a `spine` is gone along instead."""
    match node:
        case Unary():
            return replace(node, operand=change(node.operand))
        case Comparison():
            return replace(node, operands=tuple(map(change, node.operands)))
        case Conditional():
            return replace(node, test=change(node.test), then=change(node.then), otherwise=change(node.otherwise))
        case Call():
            keywords = tuple(replace(keyword, value=change(keyword.value)) for keyword in node.keywords)
            return replace(node, arguments=tuple(map(change, node.arguments)), keywords=keywords)
        case Items():
            return replace(node, items=tuple(map(change, node.items)))
        case _:
            return node


def spine(node: Binary | Index) -> tuple[Node, list[Binary | Index]]:
    """What `a + b[0] - c` begins with, and what is done to it, from the first to the last.

    Such a chain leans to the left as deep as it is long: nothing may go down into it by calling itself.
    """
    steps: list[Binary | Index] = []
    first: Node = node
    while isinstance(first, Binary | Index):
        steps.append(first)
        first = first.left if isinstance(first, Binary) else first.value
    return first, steps[::-1]


def walk(root: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth (the root's is 1)."""
    pending = [(root, 1)]
    while pending:
        node, depth = pending.pop()
        yield node, depth
        pending += [(child, depth + 1) for child in reversed(children(node))]


def names_in(root: Node) -> dict[str, Name]:
    """The names that an expression uses (functions are none), each where it stands first."""
    found: dict[str, Name] = {}
    for node, _ in walk(root):
        if isinstance(node, Name):
            found.setdefault(node.name, node)
    return found
