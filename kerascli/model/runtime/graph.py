"""Torch module that runs a graph of nodes, such as a whole model."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from kerascli.model.ir.analysis import name_of, needing_targets, set_by
from kerascli.model.ir.gradients import differentiated
from kerascli.model.ir.nodes import Node
from kerascli.model.runtime.built import Built, submodules_of
from kerascli.model.runtime.executor import GraphOutcome, PreparedNode, Tensors, differentiable, run_nodes
from kerascli.model.runtime.weights import Weight

__all__ = ["Graph", "GraphOutcome"]


class Graph(nn.Module):
    """Torch module of a built model; `forward` maps inputs by name to a GraphOutcome (outputs, masks, losses ...)."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.model = built.model
        self.specs = dict(built.specs)
        self._names = {each.name: each.spec.dtype for each in built.model.inputs}
        self._targets = {target.name: (name_of(target), target.spec.dtype) for target in built.model.targets}
        self.nodes = nn.ModuleList(built.modules[node.name] for node in built.model.nodes)
        nodes = built.model.nodes
        self._steps = _steps(nodes, built)
        needing = needing_targets(nodes, built.model.targets)
        self.differentiated = differentiated(nodes)
        """Names of the tensors at which formulas take gradients."""
        self._predicting = _steps([node for node in nodes if node.name not in needing], built)
        for step in self._steps:
            if not step.node.layer.trainable:
                step.module.requires_grad_(False)

    def weights(self) -> list[Weight]:
        """Return all weights of the model in the order of its nodes; a shared weight occurs once, at its first node."""
        by_name: dict[str, Weight] = {}
        for weights in self.weights_by_node().values():
            for weight in weights:
                by_name.setdefault(weight.name, weight)
        return list(by_name.values())

    def weights_by_node(self) -> dict[str, list[Weight]]:
        """Return a mapping from each node's name to its weights; a shared weight occurs at each of its nodes."""
        return {
            step.node.name: [weight for part in submodules_of(step.node, step.module) for weight in part.weights()]
            for step in self._steps
        }

    def forward(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor] | None = None) -> GraphOutcome:
        """Run the model on tensors (N, *) by input name; return its outputs, masks, losses ...

        `targets` are tensors by target name; without them, the nodes that depend on a target are skipped.
        """
        if not self.differentiated:
            return self._run(inputs, targets)
        is_trained = torch.is_grad_enabled()
        # the fused kernels of attention cannot be differentiated twice
        with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            outcome = self._run(_ordinary(inputs), None if targets is None else _ordinary(targets))
        return outcome if is_trained else outcome.detached()

    def _run(self, inputs: Mapping[str, Tensor], targets: Mapping[str, Tensor] | None) -> GraphOutcome:
        values: Tensors = {name: _as_input(inputs[name], dtype) for name, dtype in self._names.items()}
        if targets is not None:
            values.update({name: _as_input(targets[own], dtype) for name, (own, dtype) in self._targets.items()})
        values |= {name: differentiable(values[name]) for name in self.differentiated & values.keys()}
        outcome = GraphOutcome({}, {})
        run_nodes(self._predicting if targets is None else self._steps, values, outcome)
        outcome.outputs = {name: values[name] for name in self.model.outputs}
        outcome.masks = {name: outcome.masks[name] for name in self.model.outputs if name in outcome.masks}
        return outcome


def _as_input(tensor: Tensor, dtype: str) -> Tensor:
    """Return a batch's tensor in the dtype of the model's input; floats in the dtype of the weights, as in Keras."""
    expected = getattr(torch, dtype)
    expected = torch.get_default_dtype() if expected.is_floating_point else expected
    return tensor if tensor.dtype == expected else tensor.to(expected)


def _ordinary(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return tensors that autograd can save, which it cannot save of those that inference mode made."""
    return {name: tensor.clone() if tensor.is_inference() else tensor for name, tensor in tensors.items()}


def _steps(nodes: Sequence[Node], built: Built) -> tuple[PreparedNode, ...]:
    last, at = _last_uses(nodes, built.model.outputs), differentiated(nodes)
    sets = {name: f"{weight.weights_name}/value" for name, weight in set_by(nodes).items()}
    seen: set[str] = set()
    steps = []
    for node in nodes:
        owned = {part.name for part in submodules_of(node, built.modules[node.name])}
        again = not owned.isdisjoint(seen)
        unused = last.get(node.name, ())
        steps.append(PreparedNode(node, built, unused, again=again, sets=sets.get(node.name, ""), differentiated=at))
        seen |= owned
    return tuple(steps)


def _last_uses(nodes: Sequence[Node], outputs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return a mapping from each node's name to the names of the tensors that no later node uses."""
    user = {name: node.name for node in nodes for name in (*node.outputs, *node.used_names())}
    last: dict[str, tuple[str, ...]] = {}
    for name, node_name in user.items():
        if name not in outputs:
            last[node_name] = (*last.get(node_name, ()), name)
    return last
