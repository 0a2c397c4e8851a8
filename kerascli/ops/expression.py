"""Formulas over tensors, which are parsed and checked once, then evaluated by tensor operations."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator
from torch import Tensor

from kerascli.foundation.errors import Fault, suggestion
from kerascli.language.component import Invalid
from kerascli.language.expressions import ExpressionError, evaluate, names_in, parse, walk
from kerascli.language.expressions import tree as syntax
from kerascli.language.expressions.numbers import CONSTANTS, FUNCTIONS, dotted
from kerascli.language.expressions.suggestions import suggestion_for
from kerascli.language.expressions.tree import Node, children, mapped
from kerascli.ops.base import OPS, ArgumentError
from kerascli.ops.evaluator import TensorEvaluator, at_argument

_FUNCTION = "it takes a Python function, which a formula cannot contain"
_VALUES = "the shape of its result depends on the values of a tensor"

LEFT_OUT: Mapping[str, str] = {
    "associative_scan": f"{_FUNCTION}; use cumsum or cumprod",
    "bincount": f"{_VALUES}; write sum(one_hot(x, n), axis=-2)",
    "cond": f"{_FUNCTION}; write where(test, a, b)",
    "convert_to_numpy": "every value of a formula is a tensor or a number",
    "custom_gradient": f"{_FUNCTION}; write x + stop_gradient(y - x) for a gradient of x with a value of y",
    "empty": "its values are undefined; write zeros(...)",
    "empty_like": "its values are undefined; write zeros_like(...)",
    "fori_loop": _FUNCTION,
    "get_item": "write x[...]",
    "image.elastic_transform": "use the layer random_elastic_transform, whose random numbers are reproducible",
    "is_tensor": "every node is a tensor",
    "jvp": _FUNCTION,
    "map": f"{_FUNCTION}; operations apply to whole tensors",
    "nonzero": f"{_VALUES}; write where(test, a, b), or sum with a mask",
    "scan": f"{_FUNCTION}; use a recurrent layer",
    "switch": f"{_FUNCTION}; write select([...], [...])",
    "unique": _VALUES,
    "vectorize": f"{_FUNCTION}; operations apply to whole tensors",
    "vectorized_map": f"{_FUNCTION}; operations apply to whole tensors",
    "while_loop": _FUNCTION,
}
"""Mapping from operations of keras.ops that formulas lack to the reason, for error messages."""
BUILT_IN = ("batch_size", "training")
"""Names that every expression can use: `batch_size`, a number, and `training`, a boolean."""


@dataclass(frozen=True)
class Expression:
    """Parsed and checked expression; `names` are those of its input tensors, in order of first occurrence."""

    text: str
    tree: Node

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in names_in(self.tree) if name not in BUILT_IN and name not in CONSTANTS)

    @cached_property
    def asks_for_batch(self) -> bool:
        """True if a call needs an extra tensor, since the input tensors do not determine batch size and device."""
        return "batch_size" in names_in(self.tree) or not self.names

    def place(self, name: str) -> tuple[int, int]:
        """Return the column (from 1) and the length of a name's first occurrence in the expression's text."""
        first = names_in(parse(self.text))[name]
        return first.column, first.length

    def constants(self) -> set[str]:
        """Return the names of the constants (`pi`, `e`) that the expression uses."""
        return names_in(parse(self.text)).keys() & CONSTANTS.keys()

    @cached_property
    def gradients(self) -> list[tuple[syntax.Call, set[str], str]]:
        """Calls of `gradient`, each with the names that occur in its `of` and the name that is its `at`."""
        calls = (node for node in walk(self.tree) if isinstance(node, syntax.Call) and node.function == "gradient")
        bound = ((call, dict(zip(("of", "at"), call.arguments, strict=False)) | call.named) for call in calls)
        return [(call, set(names_in(each["of"])), next(iter(names_in(each["at"])))) for call, each in bound]

    def renamed(self, names: Mapping[str, str]) -> str:
        """Return the expression's text with its input tensors renamed; `names` maps old names to new ones."""
        text = self.text
        renamed = [node for node in walk(parse(text)) if isinstance(node, syntax.Name) and node.name in names]
        for node in sorted(renamed, key=lambda node: -node.column):
            start = node.column - 1
            text = text[:start] + names[node.name] + text[start + node.length :]
        return text

    def __call__(self, tensors: Mapping[str, Tensor], like: Tensor, *, training: bool) -> Any:
        """Return the expression's value: a tensor, a number, or a list of these.

        New tensors are created on the device of `like`. Raises ExpressionError.
        """
        reserved = {"batch_size": like.shape[0] if like.ndim else 1, "training": training}
        value = TensorEvaluator({**tensors, **reserved}, like.device).value(self.tree)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Tensor) and part.is_complex():
                raise self.tree.error("the value is complex, but must be real; use real(...), imag(...) or abs(...)")
        return value


@lru_cache(maxsize=512)
def expression(text: str) -> Expression:
    """Return the parsed expression for a text, with the arguments of its calls checked. Raises ExpressionError."""
    tree = _folded(parse(text))
    for node in walk(tree):
        if isinstance(node, syntax.Call):
            _check_call(node)
    return Expression(text, tree)


def _check(text: str) -> str:
    try:
        expression(text)
    except ExpressionError as error:
        raise Invalid([Fault(error.text, span=(error.column, error.length))]) from None
    return text


ExpressionField = Annotated[str, AfterValidator(_check)]
"""Field type for the text of an expression over tensors, which is checked when the config is read."""


_PAIR = ("y_true", "y_pred")


def _check_pair(text: str) -> str:
    parsed = expression(_check(text))
    if parsed.gradients:
        raise Invalid([Fault("gradient is for formulas over nodes, as of add_loss and expr")])
    for name in parsed.names:
        if name not in _PAIR:
            meant = suggestion_for(name) or suggestion(name, _PAIR) or "; available: y_true, y_pred"
            raise Invalid([Fault(f"unknown name '{name}'{meant}", span=parsed.place(name))])
    return text


PairExpression = Annotated[str, AfterValidator(_check_pair)]
"""Field type for the text of an expression over y_true and y_pred, which is checked when the config is read."""


def value_of_pair(text: str, y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Return the value, a tensor, of the formula `text` over y_true and y_pred. Raises ExpressionError."""
    value = expression(text)({"y_true": y_true, "y_pred": y_pred}, y_pred, training=False)
    if not isinstance(value, Tensor):
        raise ExpressionError("the value is not a tensor", 1, len(text))
    return value


def _check_call(node: syntax.Call) -> None:
    op = OPS.find(node.function)
    if op is None or op.name != node.function:
        if node.function not in FUNCTIONS:
            raise _unknown(node)
        return
    if node.function in FUNCTIONS and not node.keywords:  # over numbers it can take other arguments: max(2, 3)
        return
    try:
        bound = op.bind(node.arguments, node.named)
    except ArgumentError as error:
        raise at_argument(error, node) from None
    if op.name == "gradient" and not isinstance(bound["at"], syntax.Name):
        raise bound["at"].error("gradient: at: expected the name of a node or an input")


def _unknown(node: syntax.Call) -> ExpressionError:
    """Return an ExpressionError for a call of an operation that does not exist."""
    name = node.function
    if name in LEFT_OUT:
        return node.error(f"{name} is not available in formulas: {LEFT_OUT[name]}")
    owner, dot, method = name.rpartition(".")
    if dot and (owner != "image" or OPS.find(method)):
        return dotted(node)
    close = OPS.suggestion(name) or suggestion(name, FUNCTIONS)
    return node.error(f"there is no operation '{name}'{close}")


def _folded(tree: Node) -> Node:
    """Return a copy of a syntax tree in which each subexpression of numbers only is replaced by its value."""
    return _computed(mapped(tree, _folded))


_COMPUTED = (syntax.Unary, syntax.Binary, syntax.Comparison, syntax.Conditional, syntax.Call)


def _computed(tree: Node) -> Node:
    """Return a literal with a syntax node's value if its operands, already folded, are all constants; else the node."""
    is_of_tensors = isinstance(tree, syntax.Binary) and tree.operator == "@"
    if isinstance(tree, syntax.Call):
        is_of_tensors = tree.function not in FUNCTIONS or bool(tree.keywords)
    if is_of_tensors or not isinstance(tree, _COMPUTED) or not all(map(_is_constant, children(tree))):
        return tree
    value = evaluate(tree, {})
    return tree if isinstance(value, list) else syntax.Literal(tree.column, tree.length, value)


def _is_constant(part: Node) -> bool:
    """Return True if a syntax node is a folded constant: a number, or a list of numbers."""
    match part:
        case syntax.Literal():
            return not isinstance(part.value, str)
        case syntax.Name():
            return part.name in CONSTANTS
        case syntax.Items():
            return all(map(_is_constant, part.items))
    return False
