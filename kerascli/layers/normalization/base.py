"""What normalizations share: the learned scale and offset that follow them."""

from typing import Protocol

from torch import Tensor

from kerascli.layers.base import ShapeMismatch, WeightedModule
from kerascli.parts.base import Constraint, Initializer, Regularizer
from kerascli.shapes import TensorSpec


def known_sizes(axes: tuple[int, ...], x: TensorSpec) -> tuple[int, ...]:
    """The sizes of `x` along axes counted from 1; raises ShapeMismatch if one is unknown."""
    sizes = tuple(size for axis in axes if (size := x.shape[axis - 1]) is not None)
    if len(sizes) != len(axes):
        shown = f"a known size of axis {axes[0]}" if len(axes) == 1 else f"known sizes of axes {list(axes)}"
        raise ShapeMismatch(f"needs {shown}, got {x}", argument="axis")
    return sizes


class Scaled(Protocol):
    """Settings of a layer that scales by gamma and shifts by beta."""

    @property
    def scale(self) -> bool: ...
    @property
    def center(self) -> bool: ...
    @property
    def gamma_initializer(self) -> Initializer: ...
    @property
    def beta_initializer(self) -> Initializer: ...
    @property
    def gamma_regularizer(self) -> Regularizer | None: ...
    @property
    def beta_regularizer(self) -> Regularizer | None: ...
    @property
    def gamma_constraint(self) -> Constraint | None: ...
    @property
    def beta_constraint(self) -> Constraint | None: ...


class ScaledModule(WeightedModule):
    """A module with gamma and beta, as far as its settings ask for them."""

    gamma: Tensor | None
    beta: Tensor | None

    def __init__(self, settings: Scaled, shape: tuple[int, ...]) -> None:
        super().__init__()
        if settings.scale:
            self.add_weight(
                "gamma", shape, initializer=settings.gamma_initializer,
                regularizer=settings.gamma_regularizer, constraint=settings.gamma_constraint,
            )  # fmt: skip
        else:
            self.gamma = None
        if settings.center:
            self.add_weight(
                "beta", shape, initializer=settings.beta_initializer,
                regularizer=settings.beta_regularizer, constraint=settings.beta_constraint,
            )  # fmt: skip
        else:
            self.beta = None
