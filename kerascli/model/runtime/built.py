"""A model whose nodes have modules, and whose tensors have shapes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn

from kerascli.model.ir.nodes import Model
from kerascli.model.runtime.submodules import parts_of
from kerascli.shapes import TensorSpec


@dataclass(frozen=True, slots=True)
class Built:
    """The modules of a model's nodes, on the meta device, and the shape of every tensor by name."""

    model: Model
    modules: Mapping[str, nn.Module]
    specs: Mapping[str, TensorSpec]
    owners: Mapping[str, nn.Module]
    """The first module with the weights of that name."""
    views: Mapping[str, "Built"] = field(default_factory=dict)
    """Those of the model's views."""

    def reached(self, outputs: Iterable[str], losses: Iterable[str]) -> set[str]:
        """Names of the trainable weights that have a part in outputs, or in the nodes `losses`."""
        wanted, ends, found = set(outputs), set(losses), set[str]()
        for node in reversed(self.model.nodes):
            if node.name in ends or wanted.intersection(node.outputs):
                wanted.update(node.used_names())
                parts = parts_of(node, self.modules[node.name])
                found.update(weight.name for part in parts for weight in part.weights() if weight.trainable)
        return found

    def trainable(self) -> set[str]:
        """Names of all trainable weights."""
        return self.reached((), (node.name for node in self.model.nodes))
