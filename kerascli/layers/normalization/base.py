"""Base classes of normalization layers: their learned scale gamma and offset beta."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from kerascli.foundation.shapes import PositiveFloat, TensorSpec
from kerascli.layers.base import Layer, ShapeMismatch, WeightedModule
from kerascli.parts import fields
from kerascli.parts.initializers import Ones, Zeros

Epsilon = Annotated[
    PositiveFloat, Field(description="Small constant added for numerical stability, so that nothing is divided by 0.")
]


class ScaleArguments(Layer):
    """Mixin with the arguments for scale gamma and offset beta: whether to learn them, and their initializers.

    A layer lists its groups of Keras's arguments from the last to the first: pydantic takes the fields of the last base
    first.
    """

    center: bool = True
    """Add a learned offset `beta`."""
    scale: bool = True
    """Multiply by a learned scale `gamma`."""
    beta_initializer: fields.InitializerField = Zeros()
    """Initializer of beta."""
    gamma_initializer: fields.InitializerField = Ones()
    """Initializer of gamma."""


class PenaltyArguments(Layer):
    """Mixin with the arguments for the regularizers and constraints of scale gamma and offset beta."""

    beta_regularizer: fields.RegularizerField | None = None
    """Regularizer of beta, a penalty added to the loss."""
    gamma_regularizer: fields.RegularizerField | None = None
    """Regularizer of gamma, a penalty added to the loss."""
    beta_constraint: fields.ConstraintField | None = None
    """Constraint applied to beta after each update."""
    gamma_constraint: fields.ConstraintField | None = None
    """Constraint applied to gamma after each update."""


def sizes_along(axes: tuple[int, ...], x: TensorSpec) -> tuple[int, ...]:
    """Return the sizes of the input `x` along axes counted from 1; raises ShapeMismatch if one is unknown."""
    sizes = tuple(size for axis in axes if (size := x.shape[axis - 1]) is not None)
    if len(sizes) != len(axes):
        shown = f"a known size of axis {axes[0]}" if len(axes) == 1 else f"known sizes of axes {list(axes)}"
        raise ShapeMismatch(f"needs {shown}, got {x}", argument="axis")
    return sizes


class ScaledModule(WeightedModule):
    """Base class of normalization modules: has the weight gamma if the layer's `scale` is true, beta if `center` is."""

    gamma: Tensor | None
    beta: Tensor | None

    def __init__(self, settings: ScaleArguments, shape: tuple[int, ...]) -> None:
        super().__init__(settings)
        self.add_weight_of("gamma", shape if settings.scale else None)
        self.add_weight_of("beta", shape if settings.center else None)
