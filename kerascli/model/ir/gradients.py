"""Gradients in formulas, `gradient(of, at)`: the tensors that they are taken at, and those that depend on them."""

from collections.abc import Iterator, Sequence

from kerascli.foundation.shapes import Specs
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


def check_gradients(node: Node, nodes: Sequence[Node], specs: Specs) -> None:
    """Raise ShapeMismatch, at its place in the formula of `node`, for a gradient that cannot be computed.

    `nodes` are those of the node's graph, `specs` the tensors' specs by name.
    """
    for call, of, at in _gradients(node):
        dependent = {at}
        for each in nodes:
            if dependent.intersection(each.used_names()):
                dependent.update(each.outputs)
        if specs[at].is_integer or dependent.isdisjoint(of):
            of_integers = f"cannot take a gradient at '{at}', which has integers"
            problem = of_integers if specs[at].is_integer else f"takes the gradient of what does not depend on '{at}'"
            raise ShapeMismatch(problem, argument="value", span=(call.column, call.length))
