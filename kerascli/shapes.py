"""Shapes of tensors, and the field types that components share."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

Shape = tuple[int | None, ...]

MAX_VALUES = 2**31
"""Maximal number of values in a tensor, without its batch: a typing error in a size must not take the machine down."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor before there is one: its shape WITHOUT the batch axis (None: unknown), its dtype."""

    shape: Shape
    dtype: str = "float32"
    batched: bool = True
    """False: there is no batch axis, `shape` is all of it. So it is with a weight, and with a sum over the batch."""

    @property
    def rank(self) -> int:
        """Number of axes without the batch axis."""
        return len(self.shape)

    @property
    def whole(self) -> Shape:
        """The shape with the batch axis, where there is one."""
        return (None, *self.shape) if self.batched else self.shape

    @property
    def is_integer(self) -> bool:
        return self.dtype.startswith(("int", "uint", "bool"))

    def __str__(self) -> str:
        return show_shape(self.whole)


def can_be_one(a: Shape, b: Shape) -> bool:
    """Return True if two shapes are equal where both sizes are known; None is an unknown size."""
    return len(a) == len(b) and all(None in sizes or sizes[0] == sizes[1] for sizes in zip(a, b, strict=True))


def show_shape(shape: Shape) -> str:
    """A shape as Keras prints it: (None, 28, 28, 1)."""
    inner = ", ".join(str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _repeat(count: int, least: int = 1) -> BeforeValidator:
    def repeat(value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < least:  # said once, not for every axis
                raise ValueError(f"must be at least {least}, got {value}")
            return (value,) * count
        return _to_tuple(value)

    return BeforeValidator(repeat)


PositiveInt = Annotated[int, Field(ge=1, le=2**53)]
NonNegativeInt = Annotated[int, Field(ge=0, le=2**53)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
"""From 0 to 1, both included."""
OpenFraction = Annotated[float, Field(ge=0, lt=1)]
"""From 0 to 1, 1 excluded."""

_SEED = Field(description="Of its own random numbers; null: follows from the run's seed.")
Seed = Annotated[int | None, _SEED]
FixedSeed = Annotated[NonNegativeInt, _SEED]

Ints = Annotated[tuple[int, ...], BeforeValidator(_to_tuple)]
Sizes = Annotated[tuple[PositiveInt, ...], BeforeValidator(_to_tuple)]
Floats = Annotated[tuple[float, ...], BeforeValidator(_to_tuple)]
Matrix = Annotated[tuple[Floats, ...], BeforeValidator(_to_tuple)]
Words = Annotated[tuple[str, ...], BeforeValidator(_to_tuple)]
ALONG = Field(description="The axis (or axes) that this works along; negative ones count from the last.")
"""What the setting `axis` means, whichever axes a component can take."""
Axis = Annotated[int, ALONG]
Axes = Annotated[int | Ints, ALONG]
"""One axis or several; 0 is the batch, negative ones count from the end."""

AnyShape = Annotated[tuple[PositiveInt | None, ...], BeforeValidator(_to_tuple)]

Size1D = Annotated[tuple[PositiveInt], _repeat(1)]
Size2D = Annotated[tuple[PositiveInt, PositiveInt], _repeat(2)]
"""One number for all axes, or one an axis."""
Size3D = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], _repeat(3)]

Count1D = Annotated[tuple[NonNegativeInt], _repeat(1, least=0)]
Count2D = Annotated[tuple[NonNegativeInt, NonNegativeInt], _repeat(2, least=0)]
"""As Size2D, 0 included."""
Count3D = Annotated[tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt], _repeat(3, least=0)]

Margin1D = Count2D
"""What is put before and after an axis: one number for both sides, or one a side."""
Margin2D = Annotated[tuple[Margin1D, Margin1D], _repeat(2, least=0)]
Margin3D = Annotated[tuple[Margin1D, Margin1D, Margin1D], _repeat(3, least=0)]

DataFormat = Annotated[
    Literal["channels_last", "channels_first"],
    Field(description="Where the channels are: on the last axis, or on the first after the batch."),
]
DType = Literal[
    "float16", "bfloat16", "float32", "float64",
    "int8", "int16", "int32", "int64", "uint8", "bool", "string",
]  # fmt: skip
