"""Base classes and registries of activations, initializers, regularizers and constraints."""

from abc import abstractmethod

import torch
from torch import Tensor

from kerascli.language.component import Component, Registry


class Activation(Component):
    """Base class of activations, functions that are elementwise or along an axis."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor: ...


class Initializer(Component):
    """Base class of initializers, which fill a new weight."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError if the initializer cannot fill a weight of `shape`."""

    @abstractmethod
    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        """Return initial values on the CPU for a weight with `shape` in Keras; `generator` draws random values."""


class Regularizer(Component):
    """Base class of regularizers: a penalty on a weight (in Keras's layout) or on a layer's output."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty, a scalar tensor, of a weight or a layer's output."""


class Constraint(Component):
    """Base class of constraints: a projection of a weight, applied after each update."""

    @abstractmethod
    def __call__(self, weight: Tensor) -> Tensor:
        """Return the projected weight. `weight` is in Keras's layout, so that `axis` has Keras's meaning."""


ACTIVATIONS = Registry("activation", Activation, ("kerascli.parts.activations",), ("activation_",))
INITIALIZERS = Registry(
    "initializer", Initializer, ("kerascli.parts.initializers", "kerascli.data.initializers"), ("initializer_",)
)
REGULARIZERS = Registry("regularizer", Regularizer, ("kerascli.parts.regularizers",), ("regularizer_",))
CONSTRAINTS = Registry("constraint", Constraint, ("kerascli.parts.constraints",), ("constraint_",))

part = Registry.named
"""Decorator that registers a class in the given registry: `@part(ACTIVATIONS)`."""
