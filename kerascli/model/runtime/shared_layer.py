"""Modules of shared layers and models inside a wrapper (`time_distributed`); their weights have the names of the shared
weights."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from kerascli.layers.base import Outcome
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.submodules import CompositeModule, InnerNode, Submodule, inner_nodes, submodules_below


class SharedLayerModule(CompositeModule):
    """Module of a shared layer inside a wrapper."""

    def __init__(self, weights: str, module: nn.Module, *, trainable: bool) -> None:
        super().__init__()
        self.weights, self.trainable = weights, trainable
        self.inner = module

    def forward(self, x: Tensor, **call: Any) -> Any:  # (N, *) -> (N, *)
        return self.inner(x, **call)

    def parts(self) -> Iterator[Submodule]:
        yield Submodule("inner", self.weights, self.inner, self.trainable)


class SharedModelModule(CompositeModule):
    """Module of a shared model of one input inside a wrapper."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.graph = Graph(built)
        self._places = self.places()

    def forward(self, x: Tensor) -> Outcome:  # (N, *) -> (N, *)
        found = self.graph({self.graph.model.inputs[0].name: x})
        first, *rest = found.outputs.values()
        updates = {self._places[name]: value for name, value in found.updates.items()}
        return Outcome((first, *rest) if rest else first, losses=found.losses, updates=updates)

    def parts(self) -> Iterator[Submodule]:
        yield from submodules_below("graph/nodes", self.graph.model.nodes, self.graph.nodes)

    def inner_nodes(self) -> Iterator[InnerNode]:
        yield from (InnerNode(node, self.graph.specs) for node in self.graph.model.nodes)
        yield from inner_nodes(self.graph.nodes)
