"""What normalizations share: the learned scale and offset that follow them."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from kerascli.layers.base import Layer, ShapeMismatch, WeightedModule
from kerascli.parts import fields
from kerascli.parts.initializers import Ones, Zeros
from kerascli.shapes import PositiveFloat, TensorSpec

Epsilon = Annotated[PositiveFloat, Field(description="A small number that keeps a division from going wrong.")]


class Scaled(Layer):
    """A scale by gamma and an offset by beta: whether, and what they start from.

    A layer lists its stretches of Keras's arguments from the last to the first: pydantic begins with the last base.
    """

    center: bool = True
    """Add a learned offset."""
    scale: bool = True
    """Multiply by a learned factor."""
    beta_initializer: fields.InitializerField = Zeros()
    """What the offsets start from."""
    gamma_initializer: fields.InitializerField = Ones()
    """What the factors start from."""


class Penalized(Layer):
    """Penalties on gamma and beta, and constraints."""

    beta_regularizer: fields.RegularizerField | None = None
    """A penalty on the offsets, added to the loss."""
    gamma_regularizer: fields.RegularizerField | None = None
    """A penalty on the factors, added to the loss."""
    beta_constraint: fields.ConstraintField | None = None
    """What the offsets are held to after each update."""
    gamma_constraint: fields.ConstraintField | None = None
    """What the factors are held to after each update."""


def known_sizes(axes: tuple[int, ...], x: TensorSpec) -> tuple[int, ...]:
    """The sizes of `x` along axes counted from 1; raises ShapeMismatch if one is unknown."""
    sizes = tuple(size for axis in axes if (size := x.shape[axis - 1]) is not None)
    if len(sizes) != len(axes):
        shown = f"a known size of axis {axes[0]}" if len(axes) == 1 else f"known sizes of axes {list(axes)}"
        raise ShapeMismatch(f"needs {shown}, got {x}", argument="axis")
    return sizes


class ScaledModule(WeightedModule):
    """A module with gamma and beta, as far as its settings ask for them."""

    gamma: Tensor | None
    beta: Tensor | None

    def __init__(self, settings: Scaled, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.add_weight_of(settings, "gamma", shape if settings.scale else None)
        self.add_weight_of(settings, "beta", shape if settings.center else None)
