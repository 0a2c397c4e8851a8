"""Optimization passes over a graph of torch operations, which do not change its results."""

from typing import Any

import torch
from torch import Tensor, fx

from kerascli.compiler.constant_folding import fold_constants
from kerascli.compiler.memory_reuse import reuse_memory
from kerascli.compiler.torch_private import SOFTMAX, SOFTMAX_BACKWARD, onednn_convolution

aten = torch.ops.aten

_ALIASES = (aten.detach.default, aten.alias.default, aten.lift_fresh.default)


def simplify(code: fx.GraphModule, *, on_cpu: bool) -> None:
    """Simplify a graph in place by all passes; each follows those whose results it can use."""
    drop_aliases(code.graph)
    simplify_softmax(code.graph)
    fold_constants(code)
    code.graph.eliminate_dead_code()  # before some of it is in place, which counts as an effect
    if on_cpu:
        fold_batch_norm(code.graph)
        fuse_relu(code.graph)
        reuse_memory(code.graph)
    code.graph.eliminate_dead_code()
    code.graph.lint()
    code.recompile()


def drop_aliases(graph: fx.Graph) -> None:
    """Remove operations from a graph that have no effect outside autograd: detach, a transposition or permutation and
    its inverse, views of the same shape, and views without the axes that a sum has kept."""
    for node in list(graph.nodes):
        if node.target in _ALIASES:
            _replace(graph, node, node.args[0])
        elif (node.target is aten.t.default and node.args[0].target is aten.t.default) or _undoes_permutation(node):
            _replace(graph, node, node.args[0].args[0])
        elif node.target is aten.view.default and _form(node) == _form(node.args[0]):
            _replace(graph, node, node.args[0])
        elif node.target is aten.view.default and _keeps_axes(node.args[0]) and len(node.args[0].users) == 1:
            total, shape = node.args[0], node.args[0].args[0].meta["val"].shape
            axes = {axis % len(shape) for axis in total.args[1]}
            if node.meta["val"].shape == tuple(size for axis, size in enumerate(shape) if axis not in axes):
                total.args, total.meta = total.args[:2], node.meta
                _replace(graph, node, total)


def _keeps_axes(node: fx.Node) -> bool:
    return node.target is aten.sum.dim_IntList and not node.kwargs and len(node.args) > 2 and bool(node.args[2])


def _undoes_permutation(node: fx.Node) -> bool:
    before: Any = node.args[0] if node.target is aten.permute.default else node
    if before is node or before.target is not aten.permute.default:
        return False
    axes: Any = node.args[1]
    return [before.args[1][axis] % len(axes) for axis in axes] == list(range(len(axes)))


def simplify_softmax(graph: fx.Graph) -> None:
    """Remove from a graph divisions by a softmax's sum, which is 1, and constant terms of softmax's gradient.

    Keras's cross-entropies divide probabilities by their sum. A constant along the axis that is added to all inputs
    changes nothing. This saves ten operations of a training step, forward and backward.
    """
    for node in list(graph.nodes):
        if _sums_softmax(node):
            for user in list(node.users):
                if user.target is aten.div.Tensor and user.args[1] is node and _form(user) == _form(user.args[0]):
                    _replace(graph, user, user.args[0])
        elif node.target is SOFTMAX_BACKWARD:
            gradient, _, axis, _ = node.args
            node.args = (_without_constant(gradient, axis), *node.args[1:])


def _sums_softmax(node: fx.Node) -> bool:
    if not _keeps_axes(node):
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


def fold_batch_norm(graph: fx.Graph) -> None:
    """Fold each batch normalization by moving averages into the convolution before it: a kernel and bias of its own.

    It is left alone if the backward pass needs the convolution's result.
    """
    for node in list(graph.nodes):
        if node.target is not aten.native_batch_norm.default or any(user.args[1] for user in node.users):
            continue
        before, gamma, beta, mean, variance, is_training, _, epsilon = node.args
        if is_training or gamma is None or beta is None or not _is_own_convolution(before):
            continue
        (weight, bias), call = before.args[1:3], graph.call_function
        with graph.inserting_before(node):
            deviation = call(aten.sqrt.default, (call(aten.add.Tensor, (variance, epsilon)),))
            factor = call(aten.div.Tensor, (gamma, deviation))
            by_filter = call(aten.view.default, (factor, [-1] + [1] * (weight.meta["val"].ndim - 1)))
            kernel = call(aten.mul.Tensor, (weight, by_filter))
            center = mean if bias is None else call(aten.sub.Tensor, (mean, bias))
            offset = call(aten.addcmul.default, (beta, center, factor), {"value": -1})
            folded = call(aten.convolution.default, (before.args[0], kernel, offset, *before.args[3:]))
            folded.meta = dict(before.meta)
        for user in list(node.users):
            _replace(graph, user, folded)
        graph.erase_node(node)
        graph.erase_node(before)


def _is_own_convolution(node: Any) -> bool:
    """Return True if a graph node is a convolution, no transposed one, of float32 that one other node uses."""
    is_alone = node.target is aten.convolution.default and len(node.users) == 1
    return is_alone and node.meta["val"].dtype == torch.float32 and not node.args[6]


def fuse_relu(graph: fx.Graph) -> None:
    """Fuse each relu, also one with a maximum, into the oneDNN convolution before it, which applies it while the result
    is in the CPU's cache."""
    if not torch.backends.mkldnn.is_available():
        return
    for node in list(graph.nodes):
        if node.target not in (aten.relu.default, aten.hardtanh.default):
            continue
        (before, *limits), moved = node.args, None
        if before.target is aten.permute.default and len(before.users) == 1:  # to channels last, Keras's layout
            before, moved = before.args[0], before
        if not _is_own_convolution(before) or len(before.args[3]) != 2:
            continue
        x, weight, bias, stride, padding, dilation, _, _, groups = before.args
        activation = ("hardtanh", [float(limit) for limit in limits]) if limits else ("relu", [])
        with graph.inserting_before(node):
            fused = graph.call_function(
                onednn_convolution(), (x, weight, bias, padding, stride, dilation, groups, *activation, "")
            )
            fused.meta = dict(before.meta)
            result = fused
            if moved is not None:
                result = graph.call_function(aten.permute.default, (fused, moved.args[1]))
                result.meta = dict(node.meta)
        _replace(graph, node, result)
        for replaced in (moved, before):
            if replaced is not None:
                graph.erase_node(replaced)


def _replace(graph: fx.Graph, node: fx.Node, by: fx.Node) -> None:
    node.replace_all_uses_with(by)
    graph.erase_node(node)
