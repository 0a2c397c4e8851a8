"""Modules with weights of their own names, inside of a node's module."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import nn

from kerascli.graph.model import Node
from kerascli.graph.weights import weights_of


@dataclass(frozen=True, slots=True)
class Part:
    """A module with weights of its own names, somewhere in a node's module."""

    path: str
    """Where it is: layer/graph/nodes/0; empty: the node's module itself."""
    name: str
    """What the names of its weights begin with."""
    module: nn.Module
    trainable: bool

    def names(self) -> Iterator[tuple[str, str]]:
        """Each weight's place below the node's module, and its name."""
        own = weights_of(self.module, self.path, trainable=True)
        named = weights_of(self.module, self.name, trainable=True)
        yield from ((mine.name, weight.name) for mine, weight in zip(own, named, strict=True))


class SharedModule(nn.Module):
    """A module inside of a node's module whose weights are named by what is shared."""

    @abstractmethod
    def parts(self) -> Iterator[Part]:
        """With paths below this module."""


def parts_of(node: Node, module: nn.Module) -> list[Part]:
    """The module itself, or what is shared inside of it."""
    found = [
        replace(part, path=below(path.replace(".", "/"), part.path), trainable=part.trainable and node.layer.trainable)
        for path, inner in _outermost(module)
        for part in inner.parts()
    ]
    return found or [Part("", node.weights_name, module, node.layer.trainable)]


def _outermost(module: nn.Module) -> Iterator[tuple[str, SharedModule]]:
    for name, child in module.named_children():
        if isinstance(child, SharedModule):
            yield name, child
        else:
            yield from ((f"{name}.{path}", inner) for path, inner in _outermost(child))


def below(path: str, rest: str) -> str:
    """A place below a place; either may be empty."""
    return "/".join(part for part in (path, rest) if part)
