"""Trace a function: record the torch operations that it runs on real tensors as a graph, as torch's make_fx does.

make_fx loads torch's whole compiler first (0.6 s), but most programs are never compiled.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.weak import WeakTensorKeyDictionary

from kerascli.compiler.decompositions import TRACED, Decompositions
from kerascli.compiler.torch_private import TorchDispatchMode, tree_map_only
from kerascli.foundation.light_torch import without_compiler

MAX_OPERATIONS = 50_000
"""Maximum number of operations of a traced graph, each of which takes about 10 kB: a loop over time steps has many."""


@without_compiler()
def trace(
    function: Callable[..., Any], inputs: Sequence[Tensor], decompositions: Decompositions = TRACED
) -> fx.GraphModule:
    """Run a function or module; return its operations, autograd's included, as a graph with the same inputs.

    Each node's `meta` has its result as `val`, on the meta device, and its true `device`. Tensors that are neither
    inputs nor results become constants of the module. An operation with an argument `after` gets the result of the one
    before as that argument, so that no compiler changes their order. Raises ValueError if Python code or a shape
    depends on a value in a tensor, since another batch would need another program, or if there are too many operations.
    """
    tracer = _Tracer(decompositions if all(each.is_cpu for each in inputs) else {})
    for number, tensor in enumerate(inputs):
        tracer.record(tensor, tracer.graph.placeholder(f"arg_{number}"))
    with tracer:
        results = function(*inputs)
    tracer.graph.output(tree_map_only(Tensor, tracer.node_of, results))
    tracer.graph.eliminate_dead_code()
    return fx.GraphModule(tracer.root, tracer.graph)


def has_ordered(graph: fx.Graph) -> bool:
    """Return True if a graph has operations with an argument `after`, which do more than compute tensors.

    A CUDA graph must not contain them: it would repeat only the kernels of the call in which it was captured.
    """
    return any("after" in node.kwargs for node in graph.nodes)


class _Tracer(TorchDispatchMode):
    def __init__(self, decompositions: Decompositions) -> None:
        super().__init__()
        self._decompositions = decompositions
        self.graph = fx.Graph()
        self.root = nn.Module()
        self._nodes = WeakTensorKeyDictionary()
        self._ordered: fx.Node | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _depends_on_values(func, args):
            raise ValueError(f"control flow or a shape depends on a value in a tensor ({func})")
        if len(self.graph.nodes) > MAX_OPERATIONS:
            raise ValueError(f"a step has more than {MAX_OPERATIONS:,} operations")
        if decompose := self._decompositions.get(func):
            with self:
                result = decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        arguments = tree_map_only(Tensor, self.node_of, (args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        node = self.graph.call_function(func, *arguments)
        if any(argument.name == "after" for argument in func._schema.arguments):
            node.kwargs = {**node.kwargs, "after": self._ordered}
            self._ordered = node
        if isinstance(result, Tensor):
            self.record(result, node)
        elif isinstance(result, (tuple, list)):
            for number, each in enumerate(result):
                if isinstance(each, Tensor):
                    self.record(each, self.graph.call_function(operator.getitem, (node, number)))
        return result

    def record(self, tensor: Tensor, node: fx.Node) -> None:
        """Record the graph node that computes a tensor; after an in-place operation, the same tensor has a new node."""
        node.meta["val"] = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        node.meta["device"] = tensor.device
        self._nodes[tensor] = node

    def node_of(self, tensor: Tensor) -> fx.Node:
        if tensor not in self._nodes:
            name = f"given_{len(list(self.root.buffers()))}"
            self.root.register_buffer(name, tensor.detach(), persistent=False)
            self.record(tensor, self.graph.get_attr(name))
        return self._nodes[tensor]


def _depends_on_values(func: Any, args: Sequence[Any]) -> bool:
    """Return True if an operation returns a Python value or a shape that depends on the values in a tensor."""
    if func is torch.ops.aten.index.Tensor:  # with positions as index, the shape is that of the positions
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags
