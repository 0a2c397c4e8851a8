"""What the four kinds of parts are, and their registries."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from kerascli.component import Component, Registry


class Activation(Component):
    """An elementwise function, or one over the last axis."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor: ...


class Initializer(Component):
    """Fills a new weight."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if this cannot fill a weight of `shape`."""

    @abstractmethod
    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        """Values on the CPU for a weight of Keras's shape; every random number comes from `generator`."""


class Regularizer(Component):
    """A penalty on a weight (in Keras's layout), or on a layer's output."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """The penalty, a scalar."""


class Constraint(Component):
    """A projection of a weight after each update."""

    @abstractmethod
    def __call__(self, weight: Tensor) -> Tensor:
        """The projected weight; `weight` is in Keras's layout, so `axis` means what it means there."""


ACTIVATIONS = Registry("activation", Activation, ("kerascli.parts.activations",), ("activation_",))
INITIALIZERS = Registry("initializer", Initializer, ("kerascli.parts.initializers",), ("initializer_",))
REGULARIZERS = Registry("regularizer", Regularizer, ("kerascli.parts.regularizers",), ("regularizer_",))
CONSTRAINTS = Registry("constraint", Constraint, ("kerascli.parts.constraints",), ("constraint_",))

P = TypeVar("P", bound=type[Component])


def part(registry: Registry[Any], *, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[P], P]:
    """Register a part in the registry of its kind: `@part(ACTIVATIONS)`."""

    def register(cls: P) -> P:
        registry.register(cls, name=name, aliases=aliases)
        return cls

    return register
