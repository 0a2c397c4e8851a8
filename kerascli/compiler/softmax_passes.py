"""Simplify softmax in a graph: its outputs sum to 1, and a constant added to all inputs changes nothing.

Keras's cross-entropies divide probabilities by their sum, which is 1 for a softmax: removing this saves ten operations
of a training step, forward and backward.
"""

from typing import Any

import torch
from torch import Tensor, fx

from kerascli.compiler.torch_private import SOFTMAX, SOFTMAX_BACKWARD

aten = torch.ops.aten


def simplify_softmax(graph: fx.Graph) -> None:
    """Remove from a graph divisions by a softmax's sum, and terms of softmax's gradient that are constant along its
    axis."""
    for node in list(graph.nodes):
        if _sums_softmax(node):
            for user in list(node.users):
                if user.target is aten.div.Tensor and user.args[1] is node and _form(user) == _form(user.args[0]):
                    user.replace_all_uses_with(user.args[0])
                    graph.erase_node(user)
        elif node.target is SOFTMAX_BACKWARD:
            gradient, _, axis, _ = node.args
            node.args = (_without_constant(gradient, axis), *node.args[1:])


def _sums_softmax(node: fx.Node) -> bool:
    if node.target is not aten.sum.dim_IntList or node.kwargs or len(node.args) < 3 or not node.args[2]:
        return False
    softmax: Any = node.args[0]
    axes: Any = node.args[1]
    if softmax.target is not SOFTMAX or softmax.meta["val"].dtype not in (torch.float32, torch.float64):
        return False
    rank = softmax.meta["val"].ndim
    return [axis % rank for axis in axes] == [softmax.args[1] % rank]


def _without_constant(gradient: Any, axis: Any) -> fx.Node:
    """Return `gradient` (a graph node) without the term that is constant along `axis`, if it is a sum with such a
    term."""
    if gradient.target is not aten.add.Tensor or gradient.kwargs:
        return gradient
    for one, other in (gradient.args, gradient.args[::-1]):
        if isinstance(one, fx.Node) and isinstance(other, fx.Node) and _is_constant_along(other, axis):
            return one if _form(one) == _form(gradient) else gradient
    return gradient


def _is_constant_along(node: fx.Node, axis: int) -> bool:
    source: Any = node.args[0] if node.target is aten.expand.default else node
    value, whole = source.meta.get("val"), node.meta.get("val")
    if not isinstance(value, Tensor) or not isinstance(whole, Tensor) or value.ndim != whole.ndim:
        return False
    return value.shape[axis] == 1


def _form(node: Any) -> object:
    value = node.meta.get("val")
    return (value.shape, value.dtype) if isinstance(value, Tensor) else node
