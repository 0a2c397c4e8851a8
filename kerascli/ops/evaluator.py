"""Evaluation of a formula's syntax tree over tensors; its errors have the position in the formula."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kerascli.foundation.errors import first_line
from kerascli.foundation.shapes import MAX_VALUES, show_shape
from kerascli.language.expressions import tree as syntax
from kerascli.language.expressions.numbers import FUNCTIONS, Evaluator
from kerascli.language.expressions.tree import ExpressionError, Node
from kerascli.ops.base import OPS, ArgumentError, as_tensor, describe
from kerascli.ops.indexing import take

OPERATORS = {
    "+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "floor_divide", "%": "mod", "**": "power",
    "@": "matmul", "and": "logical_and", "or": "logical_or", "<": "less", "<=": "less_equal", ">": "greater",
    ">=": "greater_equal", "==": "equal", "!=": "not_equal",
}  # fmt: skip

_GROWTH = 64
"""Maximum number of values of a result in a trial on the meta device, as a multiple of the number of values of the
inputs."""


def at_argument(error: ArgumentError, node: syntax.Call) -> ExpressionError:
    """Convert a call's ArgumentError to an ExpressionError with the faulty argument's position in the expression."""
    place: Node = node
    if isinstance(error.argument, int) and error.argument < len(node.arguments):
        place = node.arguments[error.argument]
    for keyword in node.keywords:
        if keyword.name == error.argument:
            place = keyword if error.named else keyword.value
    return place.error(error.text)


class TensorEvaluator(Evaluator):
    """Evaluator of formulas over tensors; operations on numbers alone are computed in Python."""

    tensor_types: tuple[type, ...] = (Tensor, list)
    """Types of values that operations take; a list becomes a tensor."""

    def __init__(self, names: Mapping[str, Any], device: torch.device) -> None:
        super().__init__(names)
        self._device = device
        elements = sum(value.numel() for value in names.values() if isinstance(value, Tensor) and value.is_meta)
        self._most_values = max(MAX_VALUES, _GROWTH * elements)  # a trial assumes large sizes for unknown ones

    def _test(self, value: Any, node: syntax.Conditional) -> bool:
        if isinstance(value, (Tensor, list)):
            raise node.error("'if' needs a number; for tensors write where(test, a, b)")
        return bool(value)

    def _signed(self, node: syntax.Unary, value: Any) -> Any:
        if not self._are_tensors(value):
            return super()._signed(node, value)
        if node.operator == "+":
            return value
        return self._run("logical_not" if node.operator == "not" else "negative", [value], {}, node)

    def _binary(self, node: syntax.Binary, left: Any) -> Any:
        right = self.value(node.right)
        if self._are_tensors(left, right):
            return self._run(OPERATORS[node.operator], [left, right], {}, node)
        if node.operator in {"and", "or"}:
            return right if bool(left) == (node.operator == "and") else left
        return self._combined(node, left, right)

    def _comparison(self, node: syntax.Comparison) -> Any:
        values = [self.value(operand) for operand in node.operands]
        pairs = list(zip(node.operators, values, values[1:], strict=False))
        if not self._are_tensors(*values):
            return all(self._holds(name, left, right, node) for name, left, right in pairs)
        whole, *rest = [self._run(OPERATORS[name], [left, right], {}, node) for name, left, right in pairs]
        for part in rest:
            whole = self._run("logical_and", [whole, part], {}, node)
        return whole

    def _are_tensors(self, *values: Any) -> bool:
        return any(isinstance(value, self.tensor_types) for value in values)

    def _call(self, node: syntax.Call) -> Any:
        arguments = [self.value(argument) for argument in node.arguments]
        keywords = {name: self.value(value) for name, value in node.named.items()}
        op = OPS.find(node.function)
        if node.function in FUNCTIONS and not keywords and not any(map(_has_tensor, arguments)):
            return self._applied(node, arguments)
        if op is None:
            raise node.error(f"{node.function} takes numbers, not tensors")
        return self._run(node.function, arguments, keywords, node)

    def _item(self, node: syntax.Index, value: Any) -> Any:
        if not isinstance(value, Tensor) and (len(node.items) == 1 or not isinstance(value, list)):
            return super()._item(node, value)
        return self._guarded(lambda: index(as_tensor(value, self._device), [self._part(i) for i in node.items]), node)

    def _part(self, item: Node) -> Any:
        if isinstance(item, syntax.Everything):
            return Ellipsis
        if isinstance(item, syntax.Slice):
            parts = (item.start, item.stop, item.step)
            return slice(*(None if part is None else self._whole(part) for part in parts))
        value = self.value(item)
        return as_tensor(value, self._device) if isinstance(value, list) and value else value

    def _run(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any], node: Node) -> Any:
        op = OPS.find(name)
        assert op is not None
        return self._guarded(lambda: op.call(arguments, keywords, self._device), node, (*arguments, *keywords.values()))

    def _guarded(self, compute: Callable[[], Any], node: Node, operands: Sequence[Any] = ()) -> Any:
        """Return `compute()`, a syntax node's value, if its size is allowed. Raises ExpressionError at the node."""
        try:
            value = compute()
        except ArgumentError as error:
            raise (at_argument(error, node) if isinstance(node, syntax.Call) else node.error(error.text)) from None
        except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
            if isinstance(error, ExpressionError):
                raise
            raise node.error(self._refusal(node, operands, first_line(error).rstrip("."))) from None
        value = list(value) if isinstance(value, tuple) else value
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Tensor) and part.numel() > self._most_values:
                raise node.error(f"makes a tensor of {part.numel():,} values; the limit is {MAX_VALUES:,}")
        return value

    def _refusal(self, node: Node, operands: Sequence[Any], reason: str) -> str:
        """Return the error text for an operation that failed: the operands' shapes, then torch's reason.

        The reason is left out if the shapes are just two incompatible ones.
        """
        match node:
            case syntax.Call():
                name = node.function
            case syntax.Binary() | syntax.Unary():
                name = f"'{node.operator}'"
            case syntax.Comparison():
                name = f"'{node.operators[0]}'"
            case _:
                return f"invalid index: {reason}"
        if reason == "ZeroDivisionError":
            return f"{name} divides integers by 0"
        tensors = [x for value in operands for x in (value if isinstance(value, list) else [value])]
        shapes = [self._shape(x) for x in tensors if isinstance(x, Tensor)]
        text = f"{name} cannot take {' and '.join(shapes)}" if shapes else f"{name} cannot be computed"
        is_plain = len(shapes) == 2 and ("broadcast" in reason or "size of tensor" in reason)
        return text if is_plain else f"{text}: {reason}"

    def _shape(self, x: Tensor) -> str:
        """Return a tensor's shape as text, with None for the batch size."""
        sizes = tuple(x.shape)
        return show_shape((None, *sizes[1:]) if sizes[:1] == (self._names["batch_size"],) else sizes)


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, list) and any(map(_has_tensor, value)))


def index(x: Tensor, items: Sequence[Any]) -> Tensor:
    """Index a tensor by integers, slices (also with negative steps), `...`, None (a new axis) and integer tensors."""
    ellipses = [place for place, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        raise ArgumentError("an index can have only one '...'")
    used = sum(item is not None and item is not Ellipsis for item in items)
    for place in ellipses:
        items = [*items[:place], *[slice(None)] * (x.ndim - used), *items[place + 1 :]]
    places: list[Any] = []
    axis = 0
    for item in items:
        if isinstance(item, slice):
            x, item = _forwards(x, item, axis)
        elif isinstance(item, Tensor) and item.ndim == 0:
            x, item = take(x, _checked(item), axis).unsqueeze(axis), 0
        places.append(_checked(item))
        axis += item is not None
    return x[tuple(places)]


def _forwards(x: Tensor, part: slice, axis: int) -> tuple[Tensor, slice]:
    """Apply a slice with a negative step, which torch lacks, to `x`; return the result and the slice left to apply."""
    if part.step is None or part.step > 0:
        return x, part
    if part.step == 0:
        raise ArgumentError("the step of a slice cannot be 0")
    places = range(*part.indices(x.shape[axis]))
    if not places:
        return x.narrow(axis, 0, 0), slice(None)
    reversed_part = x[(*[slice(None)] * axis, slice(places[-1], places[0] + 1, -part.step))]
    return reversed_part.flip(axis), slice(None)


def _checked(item: Any) -> Any:
    if item is None or isinstance(item, slice) or (isinstance(item, int) and not isinstance(item, bool)):
        return item
    if isinstance(item, Tensor) and item.dtype == torch.bool:
        raise ArgumentError("a boolean index is not supported, since its number of values is unknown; use where(...)")
    if isinstance(item, Tensor) and not item.is_floating_point():
        return item.long()
    raise ArgumentError(f"expected an integer, a slice or an integer tensor as index, got {describe(item)}")
