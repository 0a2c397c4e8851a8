"""Result of building a model: modules of its nodes and shapes of its tensors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.model.ir.nodes import Model
from kerascli.model.runtime.submodules import submodules_of


@dataclass(frozen=True, slots=True)
class Built:
    """A model with a module for every node, on the meta device, and the spec (shape, dtype) of every tensor by name."""

    model: Model
    modules: Mapping[str, nn.Module]
    specs: Mapping[str, TensorSpec]
    owners: Mapping[str, nn.Module]
    """Mapping from a weight name prefix to the first module that has the weights with this prefix."""
    views: Mapping[str, "Built"] = field(default_factory=dict)
    """Mapping from name to view: another graph over the model's layers, which has its own inputs and outputs."""

    def reached(self, outputs: Iterable[str], losses: Iterable[str]) -> set[str]:
        """Return the names of the trainable weights that the tensors `outputs`, or the nodes named
        `losses`, depend on."""
        wanted, ends, found = set(outputs), set(losses), set[str]()
        for node in reversed(self.model.nodes):
            if node.name in ends or wanted.intersection(node.outputs):
                wanted.update(node.used_names())
                parts = submodules_of(node, self.modules[node.name])
                found.update(weight.name for part in parts for weight in part.weights() if weight.trainable)
        return found

    def trainable(self) -> set[str]:
        """Return the names of all trainable weights."""
        return self.reached((), (node.name for node in self.model.nodes))
