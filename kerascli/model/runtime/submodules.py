"""Modules with weights of their own names, inside of a node's module."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from kerascli.model.ir.nodes import Node
from kerascli.model.runtime.weights import Weight, weights_of
from kerascli.shapes import TensorSpec


@dataclass(frozen=True, slots=True)
class Part:
    """A module with weights of its own names, somewhere in a node's module."""

    path: str
    """Where it is: layer/graph/nodes/0; empty: the node's module itself."""
    name: str
    """What the names of its weights begin with; empty: the node's."""
    module: nn.Module
    trainable: bool

    def names(self) -> Iterator[tuple[str, str]]:
        """Each weight's place below the node's module, and its name."""
        own = weights_of(self.module, self.path, trainable=True)
        for mine, weight in zip(own, self.weights(), strict=True):
            yield mine.name, weight.name

    def weights(self) -> Iterator[Weight]:
        """Its weights, by their names."""
        return weights_of(self.module, self.name, trainable=self.trainable)


@dataclass(frozen=True, slots=True)
class Inner:
    """A node inside of another one."""

    node: Node
    specs: Mapping[str, TensorSpec]
    """Of the tensors around it, by name."""


class PartedModule(nn.Module):
    """A node's module, or one inside of it, that runs nodes: they name their weights."""

    results: tuple[TensorSpec, ...] | None = None
    """What a node's module makes, where that is known without running it."""

    @abstractmethod
    def parts(self) -> Iterator[Part]:
        """With paths below this module."""

    def inside(self) -> Iterator["Inner"]:
        """The nodes that it runs, and those that run inside of these."""
        return iter(())

    def places(self) -> dict[str, str]:
        """Where the weights are, by name; those of several parts have the place of the first."""
        return {name: place for part in reversed(list(self.parts())) for place, name in part.names()}


def parts_of(node: Node, module: nn.Module) -> list[Part]:
    """The module itself, or the parts that it is made of."""
    found = [
        replace(
            part,
            path=below(path.replace(".", "/"), part.path),
            name=part.name or node.weights_name,
            trainable=part.trainable and node.layer.trainable,
        )
        for path, inner in _outermost(module)
        for part in inner.parts()
    ]
    return found or [Part("", node.weights_name, module, node.layer.trainable)]


def parts_below(path: str, nodes: Sequence[Node], modules: Iterable[nn.Module]) -> Iterator[Part]:
    """The parts of nodes whose modules are a list at `path`."""
    for index, (node, module) in enumerate(zip(nodes, modules, strict=True)):
        for part in parts_of(node, module):
            yield replace(part, path=below(f"{path}/{index}", part.path))


def inside(modules: Iterable[nn.Module]) -> Iterator[Inner]:
    """The nodes that run inside of nodes with these modules."""
    for module in modules:
        for _, inner in _outermost(module):
            yield from inner.inside()


def _outermost(module: nn.Module, path: str = "") -> Iterator[tuple[str, PartedModule]]:
    if isinstance(module, PartedModule):
        yield path, module
        return
    for name, child in module.named_children():
        yield from _outermost(child, f"{path}.{name}" if path else name)


def below(path: str, rest: str) -> str:
    """A place below a place; either may be empty."""
    return "/".join(part for part in (path, rest) if part)
