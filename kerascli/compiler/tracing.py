"""Trace the operations of a function: what torch's make_fx does for real tensors, and no more.

make_fx loads torch's whole compiler before it begins (0.6 s); most programs are never compiled.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.weak import WeakTensorKeyDictionary

from kerascli.compiler.torch_private import TorchDispatchMode, tree_map_only
from kerascli.light_torch import without_compiler


@without_compiler()
def trace(function: Callable[..., Any], inputs: Sequence[Tensor]) -> fx.GraphModule:
    """Run a function or module; return its operations, those of autograd too, as a graph of as many inputs.

    Each node's `meta` has the form of its result, `val`, on the meta device, and `device`, where that really is.
    Tensors that are neither inputs nor results are constants of the module. Raises ValueError where Python looks at
    a number in a tensor, or a shape depends on one: another batch would come to another program.
    """
    tracer = _Tracer()
    for number, tensor in enumerate(inputs):
        tracer.record(tensor, tracer.graph.placeholder(f"arg_{number}"))
    with tracer:
        results = function(*inputs)
    tracer.graph.output(tree_map_only(Tensor, tracer.node_of, results))
    tracer.graph.eliminate_dead_code()
    return fx.GraphModule(tracer.root, tracer.graph)


class _Tracer(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.root = nn.Module()
        self._nodes = WeakTensorKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _looks(func, args):
            raise ValueError(f"what happens depends on a number in a tensor ({func})")
        given = tree_map_only(Tensor, self.node_of, (args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        node = self.graph.call_function(func, *given)
        if isinstance(result, Tensor):
            self.record(result, node)
        elif isinstance(result, (tuple, list)):
            for number, each in enumerate(result):
                if isinstance(each, Tensor):
                    self.record(each, self.graph.call_function(operator.getitem, (node, number)))
        return result

    def record(self, tensor: Tensor, node: fx.Node) -> None:
        """From here on a tensor is what a node comes to: an operation in place hands the same tensor out again."""
        node.meta["val"] = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        node.meta["device"] = tensor.device
        self._nodes[tensor] = node

    def node_of(self, tensor: Tensor) -> fx.Node:
        if tensor not in self._nodes:
            name = f"given_{len(list(self.root.buffers()))}"
            self.root.register_buffer(name, tensor.detach(), persistent=False)
            self.record(tensor, self.graph.get_attr(name))
        return self._nodes[tensor]


def _looks(func: Any, args: Sequence[Any]) -> bool:
    """Whether the result, or its shape, goes by the numbers in a tensor."""
    if func is torch.ops.aten.index.Tensor:  # by positions, the shape is that of the positions
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags
