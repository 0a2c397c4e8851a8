"""What normalizations share: the learned scale and offset that follow them."""

from typing import Annotated, Protocol

from pydantic import Field
from torch import Tensor

from kerascli.layers.base import ShapeMismatch, WeightedModule
from kerascli.parts.base import Constraint, Initializer, Regularizer
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.shapes import PositiveFloat, TensorSpec

Epsilon = Annotated[PositiveFloat, Field(description="A small number that keeps a division from going wrong.")]
Center = Annotated[bool, Field(description="Add a learned offset.")]
Scale = Annotated[bool, Field(description="Multiply by a learned factor.")]
BetaInitializer = Annotated[InitializerField, Field(description="What the offsets start from.")]
BetaRegularizer = Annotated[RegularizerField | None, Field(description="A penalty on the offsets, added to the loss.")]
BetaConstraint = Annotated[ConstraintField | None, Field(description="What the offsets are held to after each update.")]
GammaInitializer = Annotated[InitializerField, Field(description="What the factors start from.")]
GammaRegularizer = Annotated[RegularizerField | None, Field(description="A penalty on the factors, added to the loss.")]
GammaConstraint = Annotated[
    ConstraintField | None, Field(description="What the factors are held to after each update.")
]


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
