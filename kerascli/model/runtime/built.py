"""Result of building a model: modules of its nodes, their submodules with weights, and shapes of its tensors."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.model.ir.nodes import Model, Node
from kerascli.model.runtime.weights import Weight, weights_of


@dataclass(frozen=True, slots=True)
class Submodule:
    """A submodule of a node's module whose weights have a name prefix of their own."""

    path: str
    """Path of the submodule below the node's module, such as layer/graph/nodes/0; '' for the module itself."""
    name: str
    """Prefix of the names of the submodule's weights in the model; '': the prefix of the node's own weights."""
    module: nn.Module
    trainable: bool

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield (path, name) for each weight of the submodule: its path within the node's module, and its name in the
        model."""
        own = weights_of(self.module, self.path, trainable=True)
        for mine, weight in zip(own, self.weights(), strict=True):
            yield mine.name, weight.name

    def weights(self) -> Iterator[Weight]:
        """Return an iterator over the submodule's weights."""
        return weights_of(self.module, self.name, trainable=self.trainable)


@dataclass(frozen=True, slots=True)
class InnerNode:
    """Node that runs inside another node, such as a node of the custom cell of an `rnn`."""

    node: Node
    specs: Mapping[str, TensorSpec]
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
        """Return an iterator over the nodes that the module runs, including nodes inside these."""
        return iter(())

    def places(self) -> dict[str, str]:
        """Return the path of each weight within this module, by weight name; for a weight that several submodules
        share, the first path."""
        return {name: place for part in reversed(list(self.parts())) for place, name in part.names()}


def submodules_of(node: Node, module: nn.Module) -> list[Submodule]:
    """Return the submodules of a node's module whose weights have name prefixes of their own; without any, the module
    itself."""
    parts = [
        replace(
            part,
            path=below(path.replace(".", "/"), part.path),
            name=part.name or node.weights_name,
            trainable=part.trainable and node.layer.trainable,
        )
        for path, inner in _outermost(module)
        for part in inner.parts()
    ]
    return parts or [Submodule("", node.weights_name, module, node.layer.trainable)]


def submodules_below(path: str, nodes: Sequence[Node], modules: Iterable[nn.Module]) -> Iterator[Submodule]:
    """Yield the submodules of the modules of several nodes, with paths that begin with `path`.

    `path` is that of the list that holds the nodes' modules.
    """
    for index, (node, module) in enumerate(zip(nodes, modules, strict=True)):
        for part in submodules_of(node, module):
            yield replace(part, path=below(f"{path}/{index}", part.path))


def inner_nodes(modules: Iterable[nn.Module]) -> Iterator[InnerNode]:
    """Yield the nodes that run inside other nodes (such as those of an `rnn`'s cell); `modules` are the modules of the
    outer nodes."""
    for module in modules:
        for _, inner in _outermost(module):
            yield from inner.inner_nodes()


def _outermost(module: nn.Module, path: str = "") -> Iterator[tuple[str, CompositeModule]]:
    if isinstance(module, CompositeModule):
        yield path, module
        return
    for name, child in module.named_children():
        yield from _outermost(child, f"{path}.{name}" if path else name)


def below(path: str, rest: str) -> str:
    """Join two paths with a slash; either may be empty."""
    return "/".join(part for part in (path, rest) if part)


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
        needed, ends, names = set(outputs), set(losses), set[str]()
        for node in reversed(self.model.nodes):
            if node.name in ends or needed.intersection(node.outputs):
                needed.update(node.used_names())
                parts = submodules_of(node, self.modules[node.name])
                names.update(weight.name for part in parts for weight in part.weights() if weight.trainable)
        return names

    def trainable(self) -> set[str]:
        """Return the names of all trainable weights."""
        return self.reached((), (node.name for node in self.model.nodes))
