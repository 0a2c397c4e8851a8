"""Gradients in formulas, `gradient(of, at)`: the tensors that they are taken at, and what torch can differentiate."""

from collections.abc import Iterator, Mapping, Sequence

from kerascli.foundation.shapes import TensorSpec
from kerascli.language.expressions.tree import Call
from kerascli.layers.base import ShapeMismatch
from kerascli.layers.expressions.base import ExpressionLayer
from kerascli.model.ir.nodes import Node
from kerascli.ops.expression import expression


def _gradients(node: Node) -> Iterator[tuple[Call, set[str], str]]:
    """Yield each call of `gradient` in a node's formula, with the tensors that its `of` names and the tensor `at`."""
    if isinstance(node.layer, ExpressionLayer):
        tensors = dict(zip(node.layer.names(), node.inputs, strict=False))
        for call, names, at in expression(node.layer.value).gradients:
            yield call, {tensors[name] for name in names if name in tensors}, tensors[at]


def differentiated(nodes: Sequence[Node]) -> frozenset[str]:
    """Return the names of the tensors at which formulas of a graph take gradients."""
    return frozenset(at for node in nodes for _, _, at in _gradients(node))


def check_gradients(node: Node, nodes: Sequence[Node], specs: Mapping[str, TensorSpec]) -> None:
    """Raise ShapeMismatch, at its place in the formula of `node`, for a gradient that cannot be computed.

    `nodes` are those of the node's graph, `specs` the tensors' specs by name.
    """
    for call, of, at in _gradients(node):
        tensors, between = {at}, []
        for each in nodes:
            if tensors.intersection(each.used_names()):
                tensors.update(each.outputs)
                between.append(each)
        needed = set(of)
        for each in reversed(between):
            if needed.intersection(each.outputs):
                needed.update(each.used_names())
        formulas = [each for each in between if each is node or needed.intersection(each.outputs)]
        problem = None
        if specs[at].is_integer:
            problem = f"cannot take a gradient at '{at}', which has integers"
        elif at not in needed:
            problem = f"takes the gradient of what does not depend on '{at}'"
        elif any(_calls_ctc(each) for each in formulas):
            problem = "cannot take the gradient of ctc_loss, which torch differentiates only once"
        if problem is not None:
            raise ShapeMismatch(problem, argument="value", span=(call.column, call.length))


def _calls_ctc(node: Node) -> bool:
    return isinstance(node.layer, ExpressionLayer) and "ctc_loss" in expression(node.layer.value).functions
