"""Optimization passes over a graph of torch operations, which do not change its results."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from kerascli.compiler.torch_private import SOFTMAX, SOFTMAX_BACKWARD, OpOverload, onednn_convolution

aten = torch.ops.aten

_ALIASES = (aten.detach.default, aten.alias.default, aten.lift_fresh.default)
_KERNELS = {
    "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::convolution", "aten::convolution_backward",
    "aten::embedding", "kerascli::linear",
}  # fmt: skip
_FOLDED_ELEMENTS = 2**16
"""Maximum number of elements of a constant that is computed in advance; larger ones cost no more in each step."""

_DIVIDED_ELEMENTS = 2**15
"""Minimum number of elements for which torch divides an operation among threads."""
_UNDIVIDED_PRODUCT = 2**18
"""Maximum number of multiplications of a matrix product that takes one thread a few microseconds."""


def simplify(code: fx.GraphModule, *, on_cpu: bool) -> None:
    """Simplify a graph in place by all passes of this module; each pass follows those whose results it can use."""
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


def costly_operations(graph: fx.Graph) -> int:
    """Return the number of operations in a graph that a compiler can fuse (no views, products, convolutions,
    embeddings)."""
    return sum(
        isinstance(node.target, OpOverload) and not _may_alias(node) and node.target._schema.name not in _KERNELS
        for node in graph.nodes
    )


def has_convolutions(graph: fx.Graph) -> bool:
    """Return True if any operation of a graph is a convolution.

    Batch normalization compiled for their memory layouts took twice the time of torch's kernel on two cores.
    """
    return any(node.target is aten.convolution.default for node in graph.nodes)


def fits_one_thread(graph: fx.Graph) -> bool:
    """Return True if a graph for the CPU has no operation that several threads would make much faster."""
    for node in graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.numel() >= _DIVIDED_ELEMENTS:
            return False
        name = node.target._schema.name if isinstance(node.target, OpOverload) else ""
        if name in ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"):
            left, right = (each.meta["val"] for each in node.args[-2:])
            if left.numel() * right.shape[-1] > _UNDIVIDED_PRODUCT:
                return False
        elif name in _KERNELS and name != "aten::embedding":
            return False
    return True


def drop_aliases(graph: fx.Graph) -> None:
    """Remove operations from a graph that have no effect outside autograd: detach, a transposition or permutation and
    its inverse, views of the same shape, and views without the axes that a sum has kept."""
    for node in list(graph.nodes):
        if node.target in _ALIASES:
            _replace(graph, node, node.args[0])
        elif (node.target is aten.t.default and node.args[0].target is aten.t.default) or _undoes_permutation(node):
            _replace(graph, node, node.args[0].args[0])
        elif node.target is aten.view.default and _shape(node) == _shape(node.args[0]):
            _replace(graph, node, node.args[0])
        elif node.target is aten.view.default and _keeps_axes(node.args[0]) and len(node.args[0].users) == 1:
            total, shape = node.args[0], node.args[0].args[0].meta["val"].shape
            axes = {axis % len(shape) for axis in total.args[1]}
            if _shape(node) == tuple(size for axis, size in enumerate(shape) if axis not in axes):
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


def fold_constants(code: fx.GraphModule) -> None:
    """Replace nodes that depend on no input, such as a range of numbers, by constants that are computed once."""
    constants: dict[fx.Node, Tensor] = {}
    for node in code.graph.nodes:
        if _is_constant(node, constants):
            arguments, named = fx.map_arg(
                (node.args, node.kwargs), lambda n: constants[n] if n in constants else _blank(n)
            )
            constants[node] = node.target(*arguments, **named)
    for node, value in constants.items():
        if all(user in constants or _only_reads(user) for user in node.users) and not _is_written(node):
            code.register_buffer(f"constant_{node.name}", value, persistent=False)
            with code.graph.inserting_before(node):
                constant = code.graph.get_attr(f"constant_{node.name}")
            constant.meta = dict(node.meta)
            _replace(code.graph, node, constant)


def _is_constant(node: fx.Node, constants: Mapping[fx.Node, Tensor]) -> bool:
    value, target = node.meta.get("val"), node.target
    if not isinstance(target, OpOverload) or not isinstance(value, Tensor):
        return False
    if value.numel() > _FOLDED_ELEMENTS or target._schema.is_mutable or _is_random(target):
        return False
    return target is aten.ones_like.default or all(argument in constants for argument in node.all_input_nodes)


def _blank(node: fx.Node) -> Tensor:
    """Return an uninitialized tensor like a graph node's result, for operators that use only its shape, dtype and
    device."""
    value = node.meta["val"]
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=node.meta["device"])


def _is_random(target: OpOverload) -> bool:
    return torch.Tag.nondeterministic_seeded in target.tags or target.namespace != "aten" or "empty" in target.name()


def _only_reads(node: fx.Node) -> bool:
    """Return True if a graph node certainly writes into none of its arguments; kernels that are neither pointwise nor
    among torch's core operators may write undeclared."""
    target = node.target
    if not isinstance(target, OpOverload) or target._schema.is_mutable or _may_alias(node):
        return False
    return torch.Tag.pointwise in target.tags or torch.Tag.core in target.tags


def _is_pure(node: fx.Node) -> bool:
    return isinstance(node.target, OpOverload) and not node.target._schema.is_mutable


def _is_written(node: fx.Node) -> bool:
    """Return True if an operation in the graph writes into a node's tensor, or into a view of it."""
    return any(
        user.op != "output" and (not _is_pure(user) or (_may_alias(user) and _is_written(user))) for user in node.users
    )


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
        weight, bias = before.args[1:3]
        with graph.inserting_before(node):
            deviation = graph.call_function(
                aten.sqrt.default, (graph.call_function(aten.add.Tensor, (variance, epsilon)),)
            )
            factor = graph.call_function(aten.div.Tensor, (gamma, deviation))
            by_filter = graph.call_function(aten.view.default, (factor, [-1] + [1] * (weight.meta["val"].ndim - 1)))
            kernel = graph.call_function(aten.mul.Tensor, (weight, by_filter))
            center = mean if bias is None else graph.call_function(aten.sub.Tensor, (mean, bias))
            offset = graph.call_function(aten.addcmul.default, (beta, center, factor), {"value": -1})
            folded = graph.call_function(aten.convolution.default, (before.args[0], kernel, offset, *before.args[3:]))
            folded.meta = dict(before.meta)
        for user in list(node.users):
            _replace(graph, user, folded)
        graph.erase_node(node)
        graph.erase_node(before)


def _is_own_convolution(node: Any) -> bool:
    """Return True if a graph node is a convolution, no transposed one, of float32 that one other node uses."""
    return node.target is aten.convolution.default and len(node.users) == 1 and _plain(node) and not node.args[6]


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


def reuse_memory(graph: fx.Graph) -> None:
    """Let elementwise operations of a graph write into their first operand's memory, if no later operation reads it.

    For a large result, allocating memory pages costs more than computing it.
    """
    last_use = _last_uses(graph)
    fresh = {node for node in graph.nodes if _fresh(node)}
    for node in list(graph.nodes):
        change = _in_place(node.target)
        if change is None or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        operand = node.args[0]
        whole = _whole(operand)
        if last_use[whole] is node and whole in fresh and _same_layout(operand, node) and _used_once(node):
            change(graph, node)


def _in_place(target: Any) -> Callable[[fx.Graph, fx.Node], None] | None:
    """Return a function that makes a graph node write into its first operand; None if it has no in-place form."""
    if target is aten.threshold_backward.default:
        return _threshold_in_place
    if not isinstance(target, OpOverload) or torch.Tag.pointwise not in target.tags:
        return None
    packet = getattr(aten, f"{target._schema.name.removeprefix('aten::')}_", None)
    variant = getattr(packet, target._overloadname, None) if packet is not None else None
    if variant is None:
        return None

    def change(_: fx.Graph, node: fx.Node) -> None:
        node.target = variant

    return change


def _threshold_in_place(_: fx.Graph, node: fx.Node) -> None:
    node.target = aten.threshold_backward.grad_input
    node.kwargs = {"grad_input": node.args[0]}


def _last_uses(graph: fx.Graph) -> dict[fx.Node, fx.Node | None]:
    """Return a mapping from node to the last node that uses its memory, even by a view; None for the graph's
    results."""
    place = {node: number for number, node in enumerate(graph.nodes)}
    last: dict[fx.Node, fx.Node | None] = {}
    for node in reversed(graph.nodes):
        ends: list[fx.Node | None] = []
        for user in node.users:
            if user.op == "output":
                ends.append(None)
            else:
                ends.append(user)
                if _may_alias(user):
                    ends.append(last[user])
        if any(end is None for end in ends):
            last[node] = None
        else:
            last[node] = max((end for end in ends if end is not None), key=place.__getitem__, default=node)
    return last


def _may_alias(node: fx.Node) -> bool:
    """Return True if a result of a graph node may share memory with one of its arguments."""
    if not isinstance(node.target, OpOverload):
        return True
    return any(result.alias_info is not None for result in node.target._schema.returns)


def _whole(node: fx.Node) -> fx.Node:
    """Return the graph node whose tensor `node` is a view of, even indirectly; `node` itself if it is no view."""
    while isinstance(node.target, OpOverload) and node.target.is_view and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    return node


def _fresh(node: fx.Node) -> bool:
    """Return True if a graph node allocates its tensor's memory; False for inputs, and for views of other tensors."""
    source = node.args[0] if node.target is operator.getitem else node
    made = isinstance(source, fx.Node) and source.op == "call_function" and not _may_alias(source)
    return made and isinstance(node.meta.get("val"), Tensor)


def _used_once(node: fx.Node) -> bool:
    """Return True if a graph node's first operand shares no memory with the others, and no operand is a list."""
    first = node.args[0]
    whole = _whole(first)  # pyright: ignore[reportArgumentType]
    if first in node.args[1:] or any(isinstance(argument, (list, tuple)) for argument in node.args):
        return False
    return all(_whole(other) is not whole for other in node.all_input_nodes if other is not first)


def _same_layout(one: fx.Node, other: fx.Node) -> bool:
    a, b = one.meta.get("val"), other.meta.get("val")
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return False
    same = a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype
    same = same and one.meta["device"] == other.meta["device"]
    return same and (a.is_contiguous() or (a.ndim == 4 and a.is_contiguous(memory_format=torch.channels_last)))


def _plain(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.dtype == torch.float32


def _shape(node: fx.Node) -> object:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else node


def _replace(graph: fx.Graph, node: fx.Node, by: fx.Node) -> None:
    node.replace_all_uses_with(by)
    graph.erase_node(node)
