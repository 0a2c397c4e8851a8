"""Expressions over tensors: a text, checked once, whose value is computed by operations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any

import torch
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from torch import Tensor

from kerascli.errors import Fault, first_line, suggestion
from kerascli.expressions import ExpressionError, Node, evaluate, parse, walk
from kerascli.expressions.numbers import CONSTANTS, FUNCTIONS, Evaluator
from kerascli.expressions.tree import (
    Binary,
    Call,
    Comparison,
    Conditional,
    Everything,
    Index,
    Items,
    Literal,
    Name,
    Slice,
    Unary,
    mapped,
)
from kerascli.ops.base import OPS, ArgumentError, as_tensor
from kerascli.ops.index import index
from kerascli.shapes import show_shape

MAX_VALUES = 2**31
"""Of one tensor: a typing error in a size must not take the machine down."""
GIVEN = ("batch_size", "training")
"""Names that every expression knows: a number, and true or false."""

_OPERATORS = {
    "+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "floor_divide", "%": "mod", "**": "power",
    "@": "matmul", "and": "logical_and", "or": "logical_or", "<": "less", "<=": "less_equal", ">": "greater",
    ">=": "greater_equal", "==": "equal", "!=": "not_equal",
}  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """A checked text; `names` are the tensors that it is of, in the order in which they first stand in it."""

    text: str
    tree: Node

    @cached_property
    def names(self) -> tuple[str, ...]:
        found = {node.name: None for node, _ in walk(self.tree) if isinstance(node, Name)}
        return tuple(name for name in found if name not in GIVEN and name not in CONSTANTS)

    def place(self, name: str) -> tuple[int, int]:
        """The column (from 1) and the length of a name where it first stands."""
        first = next(node for node, _ in walk(parse(self.text)) if isinstance(node, Name) and node.name == name)
        return first.column, first.length

    def constants(self) -> set[str]:
        """`pi` and `e`, where they are used."""
        return {node.name for node, _ in walk(parse(self.text)) if isinstance(node, Name)} & set(CONSTANTS)

    def renamed(self, names: Mapping[str, str]) -> str:
        """The text with other names for its tensors."""
        text = self.text
        standing = [node for node, _ in walk(parse(text)) if isinstance(node, Name) and node.name in names]
        for node in sorted(standing, key=lambda node: -node.column):
            start = node.column - 1
            text = text[:start] + names[node.name] + text[start + node.length :]
        return text

    def __call__(self, tensors: Mapping[str, Tensor], like: Tensor, *, training: bool) -> Any:
        """The value: a tensor, a number, or a list of values. New tensors are made where `like` is.

        Raises ExpressionError.
        """
        given = {"batch_size": like.shape[0] if like.ndim else 1, "training": training}
        return _TensorEvaluator({**tensors, **given}, like.device).value(self.tree)


@lru_cache(maxsize=512)
def expression(text: str) -> Expression:
    """The expression of a text, its calls checked. Raises ExpressionError."""
    tree = _folded(parse(text))
    for node, _ in walk(tree):
        if isinstance(node, Call):
            _check_call(node)
    return Expression(text, tree)


def _check(text: str) -> str:
    try:
        expression(text)
    except ExpressionError as error:
        fault = Fault(error.text, span=(error.column, error.length))
        raise PydanticCustomError("component", "invalid expression", {"faults": (fault,)}) from None
    return text


ExpressionField = Annotated[str, AfterValidator(_check)]
"""A field that holds an expression over tensors."""


_PAIR = ("y_true", "y_pred")


def _check_pair(text: str) -> str:
    found = expression(_check(text))
    for name in found.names:
        if name not in _PAIR:
            meant = suggestion(name, _PAIR) or "; here are y_true and y_pred alone"
            fault = Fault(f"unknown name '{name}'{meant}", span=found.place(name))
            raise PydanticCustomError("component", "invalid expression", {"faults": (fault,)})
    return text


PairExpression = Annotated[str, AfterValidator(_check_pair)]
"""A field that holds an expression over y_true and y_pred."""


def value_of_pair(text: str, y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The value of a `PairExpression`. Raises ExpressionError."""
    value = expression(text)({"y_true": y_true, "y_pred": y_pred}, y_pred, training=False)
    if not isinstance(value, Tensor):
        raise ExpressionError("the value is no tensor", 1, len(text))
    return value


def _check_call(node: Call) -> None:
    op = OPS.find(node.function)
    if op is None:
        if node.function not in FUNCTIONS:
            close = OPS.suggestion(node.function) or suggestion(node.function, FUNCTIONS)
            text = f"there is no operation '{node.function}'{close}"
            raise ExpressionError(text, node.column, node.length)
        return
    if node.function in FUNCTIONS and not node.keywords:  # over numbers it may take others: max(2, 3)
        return
    try:
        op.bind(node.arguments, dict(node.keywords))
    except ArgumentError as error:
        raise _at(error, node) from None


def _at(error: ArgumentError, node: Call) -> ExpressionError:
    """An argument's fault, where the argument stands."""
    place: Node = node
    if isinstance(error.argument, int) and error.argument < len(node.arguments):
        place = node.arguments[error.argument]
    elif isinstance(error.argument, str) and error.argument in dict(node.keywords):
        place = dict(node.keywords)[error.argument]
    return ExpressionError(error.text, place.column, place.length)


def _folded(tree: Node) -> Node:
    """What is computed of numbers alone is computed now."""
    tree = mapped(tree, _folded)
    if isinstance(tree, (Literal, Items, Name, Slice, Everything, Index)) or not _is_constant(tree):
        return tree
    value = evaluate(tree, {})
    return tree if isinstance(value, list) else Literal(tree.column, tree.length, value)


def _is_constant(tree: Node) -> bool:
    """Whether numbers alone are in it; their parts are folded already."""
    match tree:
        case Literal():
            return not isinstance(tree.value, str)
        case Name():
            return tree.name in CONSTANTS
        case Items():
            return all(map(_is_constant, tree.items))
        case Unary() | Binary() | Comparison() | Conditional() | Call():
            if isinstance(tree, Call) and (tree.function not in FUNCTIONS or tree.keywords):
                return False
            if isinstance(tree, Binary) and tree.operator == "@":
                return False
            return all(_is_constant(node) for node, depth in walk(tree) if depth == 2)
    return False


class _TensorEvaluator(Evaluator):
    """Numbers stay numbers as long as they meet no tensor."""

    def __init__(self, names: Mapping[str, Any], device: torch.device) -> None:
        super().__init__(names)
        self._device = device

    def _test(self, value: Any, node: Conditional) -> bool:
        if isinstance(value, (Tensor, list)):
            text = "'if' looks at a number; of tensors write where(test, a, b)"
            raise ExpressionError(text, node.column, node.length)
        return bool(value)

    def _signed(self, node: Unary, value: Any) -> Any:
        if not self._are_tensors(value):
            return super()._signed(node, value)
        if node.operator == "+":
            return value
        return self._run("logical_not" if node.operator == "not" else "negative", [value], {}, node)

    def _binary(self, node: Binary) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if self._are_tensors(left, right):
            return self._run(_OPERATORS[node.operator], [left, right], {}, node)
        if node.operator in {"and", "or"}:
            return right if bool(left) == (node.operator == "and") else left
        return self._combined(node, left, right)

    def _comparison(self, node: Comparison) -> Any:
        values = [self.value(operand) for operand in node.operands]
        pairs = list(zip(node.operators, values, values[1:], strict=False))
        if not self._are_tensors(*values):
            return all(self._holds(name, left, right, node) for name, left, right in pairs)
        whole, *rest = [self._run(_OPERATORS[name], [left, right], {}, node) for name, left, right in pairs]
        for part in rest:
            whole = self._run("logical_and", [whole, part], {}, node)
        return whole

    @staticmethod
    def _are_tensors(*values: Any) -> bool:
        """A list beside a number is taken for a tensor, too."""
        return any(isinstance(value, (Tensor, list)) for value in values)

    def _call(self, node: Call) -> Any:
        arguments = [self.value(argument) for argument in node.arguments]
        keywords = {name: self.value(value) for name, value in node.keywords}
        op = OPS.find(node.function)
        if node.function in FUNCTIONS and not keywords and not any(map(_has_tensor, arguments)):
            return self._applied(node, arguments)
        if op is None:
            raise ExpressionError(f"{node.function} works on numbers, not on tensors", node.column, node.length)
        return self._run(node.function, arguments, keywords, node)

    def _item(self, node: Index, value: Any) -> Any:
        if not isinstance(value, Tensor) and (len(node.items) == 1 or not isinstance(value, list)):
            return super()._item(node, value)
        return self._guarded(lambda: index(as_tensor(value, self._device), [self._part(i) for i in node.items]), node)

    def _part(self, item: Node) -> Any:
        if isinstance(item, Everything):
            return Ellipsis
        if isinstance(item, Slice):
            parts = (item.start, item.stop, item.step)
            return slice(*(None if part is None else self._whole(part) for part in parts))
        value = self.value(item)
        return as_tensor(value, self._device) if isinstance(value, list) and value else value

    def _run(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any], node: Node) -> Any:
        op = OPS.find(name)
        assert op is not None
        return self._guarded(lambda: op.call(arguments, keywords, self._device), node, (*arguments, *keywords.values()))

    def _guarded(self, compute: Callable[[], Any], node: Node, given: Sequence[Any] = ()) -> Any:
        """A value of ours; whatever goes wrong is an ExpressionError at the node."""
        try:
            value = compute()
        except ArgumentError as error:
            raise (_at(error, node) if isinstance(node, Call) else _plain(error.text, node)) from None
        except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
            if isinstance(error, ExpressionError):
                raise
            raise _plain(self._refusal(node, given, first_line(error).rstrip(".")), node) from None
        value = list(value) if isinstance(value, tuple) else value
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Tensor) and part.numel() > MAX_VALUES:
                raise _plain(f"makes a tensor of {part.numel():,} values; the limit is {MAX_VALUES:,}", node)
        return value

    def _refusal(self, node: Node, given: Sequence[Any], reason: str) -> str:
        """torch's reason, behind the shapes; of two shapes that do not meet they say it all."""
        match node:
            case Call():
                name = node.function
            case Binary() | Unary():
                name = f"'{node.operator}'"
            case Comparison():
                name = f"'{node.operators[0]}'"
            case _:
                return f"no such place: {reason}"
        tensors = [x for value in given for x in (value if isinstance(value, list) else [value])]
        shapes = [self._shape(x) for x in tensors if isinstance(x, Tensor)]
        text = f"{name} cannot take {' and '.join(shapes)}" if shapes else f"{name} cannot be computed"
        is_plain = len(shapes) == 2 and ("broadcast" in reason or "size of tensor" in reason)
        return text if is_plain else f"{text}: {reason}"

    def _shape(self, x: Tensor) -> str:
        """With the size of the batch as a size that is not known."""
        sizes = tuple(x.shape)
        return show_shape((None, *sizes[1:]) if sizes[:1] == (self._names["batch_size"],) else sizes)


def _plain(text: str, node: Node) -> ExpressionError:
    return ExpressionError(text, node.column, node.length)


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, list) and any(map(_has_tensor, value)))
