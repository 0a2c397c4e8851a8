"""What normalizations share: the learned scale and offset that follow them."""

from typing import Protocol

from torch import Tensor

from kerascli.layers.base import WeightedModule
from kerascli.parts.base import Constraint, Initializer, Regularizer


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
