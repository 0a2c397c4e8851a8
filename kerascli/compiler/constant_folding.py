"""Compute the operations of a graph that depend on no input once, instead of in every call."""

from collections.abc import Mapping

import torch
from torch import Tensor, fx

from kerascli.compiler.memory_reuse import may_alias
from kerascli.compiler.torch_private import OpOverload

aten = torch.ops.aten

_FOLDED_ELEMENTS = 2**16
"""Maximum number of elements of a constant that is computed in advance; larger ones cost no more in each step."""


def fold_constants(code: fx.GraphModule) -> None:
    """Replace nodes that depend on no input, such as a range of numbers, by constants that are computed once."""
    constants: dict[fx.Node, Tensor] = {}
    for node in code.graph.nodes:
        if _is_constant(node, constants):
            args, named = fx.map_arg((node.args, node.kwargs), lambda n: constants[n] if n in constants else _blank(n))
            constants[node] = node.target(*args, **named)
    for node, value in constants.items():
        if all(user in constants or _only_reads(user) for user in node.users) and not _is_written(node):
            code.register_buffer(f"constant_{node.name}", value, persistent=False)
            with code.graph.inserting_before(node):
                constant = code.graph.get_attr(f"constant_{node.name}")
            constant.meta = dict(node.meta)
            node.replace_all_uses_with(constant)
            code.graph.erase_node(node)


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
    tags = node.target.tags if isinstance(node.target, OpOverload) else ()
    return _is_pure(node) and not may_alias(node) and (torch.Tag.pointwise in tags or torch.Tag.core in tags)


def _is_pure(node: fx.Node) -> bool:
    return isinstance(node.target, OpOverload) and not node.target._schema.is_mutable


def _is_written(node: fx.Node) -> bool:
    """Return True if an operation in the graph writes into a node's tensor, or into a view of it."""
    return any(
        user.op != "output" and (not _is_pure(user) or (may_alias(user) and _is_written(user))) for user in node.users
    )
