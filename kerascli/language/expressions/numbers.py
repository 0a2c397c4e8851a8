"""Evaluation of a config's expressions over numbers, strings and lists; the size of each result is limited."""

import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kerascli.foundation.errors import show, suggestion
from kerascli.language.expressions import tree as syntax
from kerascli.language.expressions.parser import MAX_INTEGER
from kerascli.language.expressions.suggestions import suggestion_for
from kerascli.language.expressions.tree import ExpressionError, Node, UnknownName, walk

Value = int | float | bool | str | None | list[Any]
Values = Mapping[str, Value]
"""Type of a mapping from names, such as flags, to values."""

_MAX_BITS = 512
"""Maximum size, in bits, of integers in an expression; larger powers and products are refused before computing them."""

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod, "**": operator.pow,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def _round(value: float, digits: int | None = None) -> float:
    """Round a number as Python does, halves to even. Raises ValueError for more than 30 digits, which take long."""
    if digits is not None and abs(digits) > 30:
        raise ValueError
    return round(value, digits)


CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}
FUNCTIONS: Mapping[str, tuple[int, int, Callable[..., Any]]] = {
    "abs": (1, 1, abs), "round": (1, 2, _round), "int": (1, 1, int), "float": (1, 1, float),
    "floor": (1, 1, math.floor), "ceil": (1, 1, math.ceil),
    "sqrt": (1, 1, math.sqrt), "exp": (1, 1, math.exp), "log": (1, 2, math.log),
    "log2": (1, 1, math.log2), "log10": (1, 1, math.log10), "pow": (2, 2, operator.pow),
    "sin": (1, 1, math.sin), "cos": (1, 1, math.cos), "tan": (1, 1, math.tan),
    "min": (1, 99, min), "max": (1, 99, max), "sum": (1, 1, sum), "len": (1, 1, len),
}  # fmt: skip
"""Mapping from a function's name to (minimum number of arguments, maximum number of arguments, function)."""
_OF_LISTS = {"min", "max", "sum", "len"}


def evaluate(tree: Node, names: Values) -> Value:
    """Evaluate an expression's syntax tree; `names` maps its names to numbers, strings, booleans or lists of these.

    Raises ExpressionError.
    """
    value = Evaluator(names).value(tree)
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise tree.error("the result is out of range: an integer is at most 10^18")
    return value


def check(tree: Node, names: Collection[str] | None = None) -> None:
    """Check a syntax tree for errors that depend on no values, also in branches that `evaluate` may never reach.

    `names` are the names that will be defined; None: they are unknown. Raises ExpressionError.
    """
    evaluator = Evaluator(dict.fromkeys(names or (), 0))
    for node in walk(tree):
        if isinstance(node, syntax.Call):
            _check_call(node)
            _check_count(node)
        elif isinstance(node, syntax.Binary) and node.operator not in {"and", "or"}:
            _check_operator(node)
        elif isinstance(node, syntax.Name) and names is not None:
            evaluator.value(node)


def _check_call(node: syntax.Call) -> None:
    if "." in node.function:
        raise dotted(node)
    if node.function not in FUNCTIONS:
        raise node.error(f"there is no function '{node.function}' of numbers{suggestion(node.function, FUNCTIONS)}")
    if node.keywords:
        first = node.keywords[0]
        raise first.error(f"{node.function} takes no argument named '{first.name}'")


def _check_count(node: syntax.Call) -> None:
    least, most, _ = FUNCTIONS[node.function]
    if not least <= len(node.arguments) <= most:
        expected = f"{least}" if least == most else f"{least} or more" if most == 99 else f"{least} or {most}"
        text = f"{node.function} takes {expected} argument{'s' if expected != '1' else ''}, got {len(node.arguments)}"
        raise node.error(text)


def _check_operator(node: syntax.Binary) -> None:
    if node.operator not in _ARITHMETIC:
        raise node.error(f"'{node.operator}' takes tensors, not numbers")


class Evaluator:
    """Evaluator of a syntax tree over numbers; `kerascli.ops.evaluator` has a subclass for tensors."""

    def __init__(self, names: Values) -> None:
        self._names = names

    def value(self, node: Node) -> Value:
        match node:
            case syntax.Literal():
                return node.value
            case syntax.Name():
                return self._name(node)
            case syntax.Unary():
                return self._signed(node, self.value(node.operand))
            case syntax.Binary():
                return self._binary(node, self.value(node.left))
            case syntax.Index():
                return self._item(node, self.value(node.value))
            case syntax.Comparison():
                return self._comparison(node)
            case syntax.Conditional():
                return self.value(node.then if self._test(self.value(node.test), node) else node.otherwise)
            case syntax.Items():
                return [self.value(item) for item in node.items]
            case syntax.Call():
                return self._call(node)
        raise node.error("this cannot be computed with numbers")

    def _name(self, node: syntax.Name) -> Value:
        try:
            return self._names[node.name]
        except KeyError:
            if node.name in CONSTANTS:
                return CONSTANTS[node.name]
        close = suggestion_for(node.name) or suggestion(node.name, [*self._names, *CONSTANTS])
        raise UnknownName(node.name, close, node.column, node.length)

    def _test(self, value: Value, node: syntax.Conditional) -> bool:
        return bool(value)

    def _signed(self, node: syntax.Unary, value: Value) -> Value:
        if node.operator == "not":
            return not value
        number = self._number(value, node)
        return -number if node.operator == "-" else +number

    def _binary(self, node: syntax.Binary, left: Value) -> Value:
        if node.operator == "and":
            return self.value(node.right) if left else left
        if node.operator == "or":
            return left if left else self.value(node.right)
        return self._combined(node, left, self.value(node.right))

    def _combined(self, node: syntax.Binary, left: Value, right: Value) -> Value:
        _check_operator(node)
        a, b = self._number(left, node), self._number(right, node)
        return self._compute(_ARITHMETIC[node.operator], (a, b), node)

    def _comparison(self, node: syntax.Comparison) -> bool:
        left = self.value(node.operands[0])
        for name, operand in zip(node.operators, node.operands[1:], strict=True):
            right = self.value(operand)
            if not self._holds(name, left, right, node):
                return False
            left = right
        return True

    @staticmethod
    def _holds(name: str, left: Value, right: Value, node: syntax.Comparison) -> bool:
        try:
            return _COMPARISONS[name](left, right)
        except TypeError:
            raise node.error(f"'{name}' cannot compare {show(left)} with {show(right)}") from None

    def _call(self, node: syntax.Call) -> Value:
        _check_call(node)
        return self._applied(node, [self.value(argument) for argument in node.arguments])

    def _applied(self, node: syntax.Call, values: list[Value]) -> Value:
        _check_count(node)
        function = FUNCTIONS[node.function][2]
        if node.function in _OF_LISTS and len(values) == 1:
            return self._of_list(node, function, values[0])
        return self._compute(function, tuple(self._number(value, node) for value in values), node)

    def _of_list(self, node: syntax.Call, function: Callable[..., Any], value: Value) -> Value:
        if not isinstance(value, list):
            raise node.error(f"{node.function} expected a list, got {show(value)}")
        if node.function == "len":
            return len(value)
        return self._compute(lambda *numbers: function(numbers), tuple(self._number(v, node) for v in value), node)

    def _item(self, node: syntax.Index, value: Value) -> Value:
        if not isinstance(value, list) or len(node.items) != 1 or isinstance(node.items[0], syntax.Everything):
            raise node.error(f"only a list can be indexed, got {show(value)}")
        item = node.items[0]
        if isinstance(item, syntax.Slice):
            parts = [None if part is None else self._whole(part) for part in (item.start, item.stop, item.step)]
            if parts[2] == 0:
                raise item.error("the step of a slice cannot be 0")
            return value[slice(*parts)]
        index = self._whole(item)
        if not -len(value) <= index < len(value):
            raise item.error(f"index {index} is out of range for a list of {len(value)}")
        return value[index]

    def _whole(self, node: Node) -> int:
        value = self.value(node)
        if not isinstance(value, int) or isinstance(value, bool):
            raise node.error(f"expected an integer, got {show(value)}")
        return value

    @staticmethod
    def _number(value: Value, node: Node) -> int | float:
        if not isinstance(value, (int, float)):
            raise node.error(f"expected a number, got {show(value)}")
        return value

    @staticmethod
    def _compute(function: Callable[..., Any], numbers: Sequence[int | float], node: Node) -> Value:
        """Apply a function or operator to numbers. Raises ExpressionError at `node`, also for too large a result."""
        if function is operator.pow and _is_large_power(*numbers):
            raise node.error("the result is too large")
        try:
            value = function(*numbers)
        except ZeroDivisionError:
            raise node.error("division by zero") from None
        except OverflowError:
            raise node.error("the result is too large") from None
        except ValueError:
            shown = ", ".join(show(number) for number in numbers)
            raise node.error(f"not defined for {shown}") from None
        except TypeError:
            raise node.error("expected an integer") from None
        if isinstance(value, complex) or (isinstance(value, float) and not math.isfinite(value)):
            raise node.error("the result is not a finite number")
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise node.error("the result is too large")
        return value


_MODULES = frozenset(("keras", "ops", "backend", "nn", "linalg", "math", "numpy", "np", "torch", "tf", "K", "random"))


def dotted(node: syntax.Call) -> ExpressionError:
    """Return the error for a call written as a method or with a module's name (`x.sum()`, `np.sum(x)`)."""
    owner, _, name = node.function.rpartition(".")
    if owner.partition(".")[0] not in _MODULES:
        return node.error(f"methods are not supported; write {name}({owner}, ...)")
    name = {"random": "random_", "image": "image."}.get(owner.rpartition(".")[2], "") + name
    return node.error(f"functions are written without a module; write {name}(...)")


def _is_large_power(base: int | float, exponent: int | float) -> bool:
    return isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > 2 * _MAX_BITS
