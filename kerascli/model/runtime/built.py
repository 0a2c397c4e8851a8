"""Built models: a module for each node, the modules' parts with weights of their own, and the shapes of tensors."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from kerascli.foundation.shapes import Specs, TensorSpec
from kerascli.model.ir.nodes import Model, Node
from kerascli.model.runtime.weights import Weight, weights_of

Modules = Mapping[str, nn.Module]
"""Type of a mapping from names, of nodes or of weights' prefixes, to modules."""


@dataclass(frozen=True, slots=True)
class Submodule:
    """Part of a node's module whose weights have a name prefix of their own, such as a layer in a wrapper."""

    path: str
    """Path of the submodule below the node's module, such as layer/graph/nodes/0; '' for the module itself."""
    name: str
    """Prefix of the names of the submodule's weights in the model; '': the prefix of the node's own weights."""
    module: nn.Module
    trainable: bool
    """True if the trainable weights of the submodule are trained, False if it is frozen."""

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield (path, name) of each weight of the submodule.

        The path is that within the module of the node (`layer/graph/nodes/0/kernel`), the name the weight's name in the
        model (`tower/dense/kernel`).
        """
        own = weights_of(self.module, self.path, trainable=True)
        for mine, weight in zip(own, self.weights(), strict=True):
            yield mine.name, weight.name

    def weights(self) -> Iterator[Weight]:
        """Return an iterator over the weights of the submodule."""
        return weights_of(self.module, self.name, trainable=self.trainable)


@dataclass(frozen=True, slots=True)
class InnerNode:
    """Node that runs inside another node, such as a node of the custom cell of an `rnn`."""

    node: Node
    specs: Specs
    """Specs (shape, dtype), by name, of the tensors of the graph that the inner node belongs to."""


class CompositeModule(nn.Module):
    """Base class of modules that run nodes inside another node, as the module of an `rnn` runs its cell's nodes.

    The names of an inner node's weights begin with the name of the inner node, not with that of the outer node.
    """

    results: tuple[TensorSpec, ...] | None = None
    """Specs (shape, dtype) of the module's outputs, if known without running it."""

    @abstractmethod
    def parts(self) -> Iterator[Submodule]:
        """Yield the module's submodules that have weights; their paths are relative to this module."""

    def inner_nodes(self) -> Iterator["InnerNode"]:
        """Return an iterator over all nodes that the module runs, also over nodes inside other ones."""
        return iter(())

    def places(self) -> dict[str, str]:
        """Return the path of each weight within this module, by weight name; of a shared weight, the first path."""
        return {name: place for part in reversed(list(self.parts())) for place, name in part.names()}


def submodules_of(node: Node, module: nn.Module) -> list[Submodule]:
    """Return the parts of a node's module whose weights have name prefixes of their own, else the module itself."""
    parts = [
        replace(
            part,
            path=below(path, part.path),
            name=part.name or node.weights_name,
            trainable=part.trainable and node.layer.trainable,
        )
        for path, inner in _outermost(module)
        for part in inner.parts()
    ]
    return parts or [Submodule("", node.weights_name, module, node.layer.trainable)]


def submodules_below(path: str, nodes: Sequence[Node], modules: Iterable[nn.Module]) -> Iterator[Submodule]:
    """Yield the submodules with weights of several nodes' modules, with paths below `path`.

    `path` is that of the list that holds the nodes' modules.
    """
    for index, (node, module) in enumerate(zip(nodes, modules, strict=True)):
        for part in submodules_of(node, module):
            yield replace(part, path=below(f"{path}/{index}", part.path))


def inner_nodes(modules: Iterable[nn.Module]) -> Iterator[InnerNode]:
    """Yield all nodes that run inside other nodes (such as in an `rnn`'s cell), whose modules are `modules`."""
    for module in modules:
        for _, inner in _outermost(module):
            yield from inner.inner_nodes()


def _outermost(module: nn.Module, path: str = "") -> Iterator[tuple[str, CompositeModule]]:
    if isinstance(module, CompositeModule):
        yield path, module
        return
    for name, child in module.named_children():
        yield from _outermost(child, below(path, name))


def below(path: str, rest: str) -> str:
    """Join two paths of submodules with a slash; either may be empty."""
    return "/".join(part for part in (path, rest) if part)


@dataclass(frozen=True, slots=True)
class Built:
    """Model with a module for every node, on the meta device, and the spec (shape, dtype) of every tensor."""

    model: Model
    modules: Modules
    """Mapping from the name of each node to its module."""
    specs: Specs
    """Mapping from the name of each tensor to its spec."""
    owners: Modules
    """Mapping from a weight name prefix to the first module that has the weights with this prefix."""
    views: Mapping[str, "Built"] = field(default_factory=dict)
    """Mapping from name to view: another graph over the model's layers, which has its own inputs and outputs."""

    def reached(self, outputs: Iterable[str], losses: Iterable[str]) -> set[str]:
        """Return the names of the trainable weights on which the tensors `outputs` or the nodes `losses` depend.

        Both arguments are names.
        """
        needed, ends, names = set(outputs), set(losses), set[str]()
        for node in reversed(self.model.nodes):
            if node.name in ends or needed.intersection(node.outputs):
                needed.update(node.used_names())
                parts = submodules_of(node, self.modules[node.name])
                names.update(weight.name for part in parts for weight in part.weights() if weight.trainable)
        return names

    def trainable(self) -> set[str]:
        """Return the full names of all trainable weights of the model."""
        return self.reached((), (node.name for node in self.model.nodes))
