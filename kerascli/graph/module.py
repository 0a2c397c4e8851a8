"""The one module that runs a graph: values and masks on the edges, side results as values."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kerascli import draws
from kerascli.graph.build import Built
from kerascli.graph.model import Node
from kerascli.graph.running import GraphOutcome, make_step, run_node
from kerascli.graph.weights import Weight, names_of, weights_of

__all__ = ["Graph", "GraphOutcome"]


class Graph(nn.Module):
    """Runs a built model: forward(inputs by name) -> GraphOutcome."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.model = built.model
        self.specs = dict(built.specs)
        self._names = {given.name: given.spec.dtype for given in built.model.inputs}
        self.nodes = nn.ModuleList(built.modules[node.name] for node in built.model.nodes)
        last = _last_uses(built.model.nodes, built.model.outputs)
        seen: set[str] = set()
        steps = []
        for node, module in zip(built.model.nodes, self.nodes, strict=True):
            own = names_of(module, node.weights_name)
            steps.append(make_step(node, module, built.specs, last.get(node.name, ()), again=bool(own & seen)))
            seen |= own
        self._steps = tuple(steps)
        for step in self._steps:
            if not step.node.layer.trainable:
                step.module.requires_grad_(False)

    def weights(self) -> list[Weight]:
        """All weights in order of the nodes; those that several nodes have stand where the first one does."""
        found: dict[str, Weight] = {}
        for step in self._steps:
            for weight in weights_of(step.module, step.node.weights_name, trainable=step.node.layer.trainable):
                found.setdefault(weight.name, weight)
        return list(found.values())

    def forward(self, inputs: Mapping[str, Tensor]) -> GraphOutcome:
        """Tensors of shape (N, *) by input name -> outputs of the graph by name."""
        values: dict[str, Tensor] = {name: _as_input(inputs[name], dtype) for name, dtype in self._names.items()}
        masks: dict[str, Tensor] = {}
        outcome = GraphOutcome({}, masks)
        stack = draws.node_stack()
        for step in self._steps:
            stack.append(step.node.name)
            run_node(step, values, masks, outcome)
            stack.pop()
            for name in step.last_uses:
                values.pop(name, None)
                masks.pop(name, None)
        outcome.outputs = {name: values[name] for name in self.model.outputs}
        outcome.masks = {name: masks[name] for name in self.model.outputs if name in masks}
        return outcome


def _as_input(tensor: Tensor, dtype: str) -> Tensor:
    """Data is cast to the dtype of the input; of floats there is one dtype, that of the weights, as in Keras."""
    wanted = getattr(torch, dtype)
    wanted = torch.get_default_dtype() if wanted.is_floating_point else wanted
    return tensor if tensor.dtype == wanted else tensor.to(wanted)


def _last_uses(nodes: tuple[Node, ...], outputs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """For each node the tensors that it is the last to use."""
    user: dict[str, str] = {}
    for node in nodes:
        for name in (*node.outputs, *node.used_names()):
            user[name] = node.name
    found: dict[str, list[str]] = {}
    for name, node_name in user.items():
        if name not in outputs:
            found.setdefault(node_name, []).append(name)
    return {node_name: tuple(names) for node_name, names in found.items()}
