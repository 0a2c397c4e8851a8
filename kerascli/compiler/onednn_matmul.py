"""Use oneDNN for the matrix products in a graph, on CPUs where it is faster than torch's BLAS."""

import math
from functools import cache

import torch
from torch import Tensor, fx

from kerascli.compiler.torch_private import onednn_linear
from kerascli.foundation.cpus import processor

aten = torch.ops.aten

_LIBRARY = torch.library.Library("kerascli", "DEF")
_LIBRARY.define("linear(Tensor x, Tensor weight, Tensor? bias, str activation) -> Tensor")
"""Custom operator for oneDNN's matrix product; in torch's own operator, torch's compiler assumes constant weights."""


def _form(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0])


_LIBRARY.impl("linear", onednn_linear, "CPU")
torch.library.register_fake("kerascli::linear", _form, lib=_LIBRARY)

_LARGE = 2**24
"""Minimum number of multiplications for which a matrix product is faster with oneDNN, which takes longer to start."""
COMPILED = 2**21
"""Minimum number of multiplications for which a matrix product is done by oneDNN in compiled graphs.

In traced graphs, products between the two are as fast with oneDNN, but their numbers would change.
"""


@cache
def onednn_is_faster() -> bool:
    """Return True on AMD CPUs: MKL avoids its best kernels on them, so oneDNN is 1.1 (Zen 4) to 2 (Zen 5) times as
    fast.

    Elsewhere MKL, Accelerate and OpenBLAS are as fast. Results may differ by machine, as they do within MKL.
    """
    return torch.backends.mkldnn.is_available() and "AuthenticAMD" in processor()


def use_onednn(graph: fx.Graph, smallest: int = _LARGE) -> None:
    """Replace float32 matrix products in a graph by oneDNN's, fused with a relu that follows, if they have `smallest`
    multiplications at least."""
    for node in list(graph.nodes):
        if (product := _product(node, smallest)) is None:
            continue
        left, right, bias = product
        relu = _relu_after(node)
        activation = "none" if relu is None else "relu"
        with graph.inserting_before(node):
            right = _dense(graph, right)
            turned = graph.call_function(aten.t.default, (right,))
            turned.meta = {**right.meta, "val": right.meta["val"].t()}
            arguments = (_contiguous(graph, left), turned, bias, activation)
            fused = graph.call_function(torch.ops.kerascli.linear.default, arguments)
        fused.meta = dict(node.meta)
        for replaced in (relu, node):
            if replaced is not None:
                replaced.replace_all_uses_with(fused)
                graph.erase_node(replaced)


def _contiguous(graph: fx.Graph, node: fx.Node) -> fx.Node:
    """Return a graph node for a contiguous form of a tensor; oneDNN copies, too, but a compiler can fuse this copy."""
    value = node.meta["val"]
    if value.is_contiguous():
        return node
    copied = graph.call_function(aten.clone.default, (node,), {"memory_format": torch.contiguous_format})
    copied.meta = {**node.meta, "val": torch.empty_like(value, memory_format=torch.contiguous_format)}
    return copied


def _dense(graph: fx.Graph, node: fx.Node) -> fx.Node:
    """Return a graph node for a form of a matrix without gaps: oneDNN is a thousand times slower with slices."""
    return node if node.meta["val"].t().is_contiguous() else _contiguous(graph, node)


def _product(node: fx.Node, smallest: int) -> tuple[fx.Node, fx.Node, fx.Node | None] | None:
    """Return the operands of left @ right + bias, which may lack a bias, if a graph node is such a product of float32
    matrices on the CPU, of `smallest` multiplications at least; else None."""
    if node.target is aten.mm.default:
        bias, (left, right) = None, _nodes(node)
    elif node.target is aten.addmm.default and not node.kwargs:
        bias, left, right = _nodes(node)
    else:
        return None
    x, matrix = left.meta["val"], right.meta["val"]
    if x.dtype != torch.float32 or left.meta["device"].type != "cpu":
        return None
    if bias is not None and bias.meta["val"].shape != matrix.shape[1:]:
        return None
    return (left, right, bias) if math.prod((*x.shape, matrix.shape[1])) >= smallest else None


def _nodes(node: fx.Node) -> list[fx.Node]:
    return [argument for argument in node.args if isinstance(argument, fx.Node)]


def _relu_after(node: fx.Node) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target is aten.relu.default else None
