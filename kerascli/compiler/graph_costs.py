"""Costs of a graph of torch operations: how many a compiler could fuse, and whether one thread is enough for them."""

import torch
from torch import Tensor, fx

from kerascli.compiler.memory_reuse import may_alias
from kerascli.compiler.torch_private import OpOverload

_KERNELS = {
    "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::convolution", "aten::convolution_backward",
    "aten::embedding", "kerascli::linear",
}  # fmt: skip
_DIVIDED_ELEMENTS = 2**15
"""Minimum number of elements for which torch divides an operation among threads."""
_UNDIVIDED_PRODUCT = 2**18
"""Maximum number of multiplications of a matrix product that takes one thread a few microseconds."""


def costly_operations(graph: fx.Graph) -> int:
    """Return the number of operations in a graph that a compiler can fuse (no views, products, convolutions,
    embeddings)."""
    return sum(
        isinstance(node.target, OpOverload) and not may_alias(node) and node.target._schema.name not in _KERNELS
        for node in graph.nodes
    )


def has_convolutions(graph: fx.Graph) -> bool:
    """Return True if any operation of a graph is a convolution.

    Batch normalization compiled for their memory layouts took twice the time of torch's kernel on two cores.
    """
    return any(node.target is torch.ops.aten.convolution.default for node in graph.nodes)


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
