"""Let operations of a graph write into the memory of their first operand, where nothing reads it afterwards."""

import operator
from typing import Any

import torch
from torch import Tensor, fx

from kerascli.compiler.torch_private import OpOverload

aten = torch.ops.aten


def reuse_memory(graph: fx.Graph) -> None:
    """Let elementwise operations of a graph write into their first operand's memory, if no later operation reads it.

    For a large result, allocating memory pages costs more than computing it.
    """
    last_use = _last_uses(graph)
    fresh = {node for node in graph.nodes if _fresh(node)}
    for node in list(graph.nodes):
        variant = _in_place(node.target)
        if variant is None or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        operand = node.args[0]
        whole = _whole(operand)
        if last_use[whole] is node and whole in fresh and _same_layout(operand, node) and _used_once(node):
            node.target = variant
            if variant is aten.threshold_backward.grad_input:
                node.kwargs = {"grad_input": operand}


def _in_place(target: Any) -> Any:
    """Return the variant of an operation that writes into its first operand; None if there is none."""
    if target is aten.threshold_backward.default:
        return aten.threshold_backward.grad_input
    if not isinstance(target, OpOverload) or torch.Tag.pointwise not in target.tags:
        return None
    packet = getattr(aten, f"{target._schema.name.removeprefix('aten::')}_", None)
    return getattr(packet, target._overloadname, None)


def _last_uses(graph: fx.Graph) -> dict[fx.Node, fx.Node | None]:
    """Return a mapping from node to the last node that uses its memory, even by a view; None for the graph's
    results."""
    place = {node: number for number, node in enumerate(graph.nodes)}
    last: dict[fx.Node, fx.Node | None] = {}
    for node in reversed(graph.nodes):
        ends = [None if user.op == "output" else user for user in node.users]
        ends += [last[user] for user in node.users if may_alias(user)]
        last[node] = None if None in ends else max(ends, key=place.__getitem__, default=node)
    return last


def may_alias(node: fx.Node) -> bool:
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
    made = isinstance(source, fx.Node) and source.op == "call_function" and not may_alias(source)
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
