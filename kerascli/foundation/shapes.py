"""Shapes of tensors, and the field types that components share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

Shape = tuple[int | None, ...]

MAX_VALUES = 2**31
"""Maximum number of elements of a tensor without its batch axis, so that a typo in a size cannot exhaust memory."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and dtype of a tensor; `shape` is WITHOUT the batch axis, None in it is an unknown size."""

    shape: Shape
    dtype: str = "float32"
    batched: bool = True
    """Flag: True if the tensor has a batch axis; a weight or a sum over the batch has none, and `shape` is then
    complete."""

    @property
    def rank(self) -> int:
        """Number of axes of the tensor, not counting the batch axis."""
        return len(self.shape)

    @property
    def whole(self) -> Shape:
        """Shape of the tensor including the batch axis (as None), if it has one."""
        return (None, *self.shape) if self.batched else self.shape

    @property
    def is_integer(self) -> bool:
        return self.dtype.startswith(("int", "uint", "bool"))

    def __str__(self) -> str:
        return show_shape(self.whole)


Specs = Mapping[str, TensorSpec]
"""Type of a mapping from names of tensors to their specs."""


def is_compatible(a: Shape, b: Shape) -> bool:
    """Return True if two shapes may be equal: they have the same rank, and sizes are equal where both are known."""
    return len(a) == len(b) and all(None in sizes or sizes[0] == sizes[1] for sizes in zip(a, b, strict=True))


def show_shape(shape: Shape) -> str:
    """Return a shape as Keras prints it: (None, 28, 28, 1)."""
    inner = ", ".join(str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def to_tuple(value: Any) -> Any:
    """Return a list as a tuple, which fields of tuples expect; other values are unchanged."""
    return tuple(value) if isinstance(value, list) else value


def listed(value: Any) -> Any:
    """Return a list, or a single text or integer, as a tuple, which fields of tuples expect; others are unchanged."""
    return (value,) if isinstance(value, str | int) else to_tuple(value)


def _ordered(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] >= values[1]:
        raise ValueError(f"expected [black, white], black below white, got {list(values)}")
    return values


ValueRange = Annotated[tuple[float, float], BeforeValidator(to_tuple), AfterValidator(_ordered)]
"""Type of the values of black and of white in pictures, such as [0, 1], [-1, 1] or [0, 255]."""


def _check_target(shape: tuple[int, ...]) -> tuple[int, ...]:
    if any(size == 0 or size < -1 for size in shape) or shape.count(-1) > 1:
        raise ValueError(f"expected positive sizes and at most one -1, got {list(shape)}")
    return shape


def _repeat(count: int, least: int = 1) -> BeforeValidator:
    def repeat(value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < least:  # one error, not one for every axis
                raise ValueError(f"must be at least {least}, got {value}")
            return (value,) * count
        return to_tuple(value)

    return BeforeValidator(repeat)


PositiveInt = Annotated[int, Field(ge=1, le=2**53)]
NonNegativeInt = Annotated[int, Field(ge=0, le=2**53)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
"""Number from 0 to 1, both included."""
OpenFraction = Annotated[float, Field(ge=0, lt=1)]
"""Number from 0 to 1, 1 excluded."""

_SEED = Field(description="Seed of the component's random numbers; null: derived from the run's seed.")
Seed = Annotated[int | None, _SEED]
FixedSeed = Annotated[NonNegativeInt, _SEED]

Ints = Annotated[tuple[int, ...], BeforeValidator(to_tuple)]
TargetShape = Annotated[Ints, AfterValidator(_check_target)]
"""Shape to reshape to, without the batch axis; one size may be -1."""
Sizes = Annotated[tuple[PositiveInt, ...], BeforeValidator(to_tuple)]
Floats = Annotated[tuple[float, ...], BeforeValidator(to_tuple)]
Matrix = Annotated[tuple[Floats, ...], BeforeValidator(to_tuple)]
Words = Annotated[tuple[str, ...], BeforeValidator(to_tuple)]
ALONG = Field(description="Axis or axes to operate along; negative ones count from the last.")
"""Pydantic field description for the setting `axis`, for components with one axis or several."""
Axis = Annotated[int, ALONG]
Axes = Annotated[int | Ints, ALONG]
"""One axis or several; 0 is the batch axis, negative ones count from the end."""

AnyShape = Annotated[tuple[PositiveInt | None, ...], BeforeValidator(to_tuple)]

Size1D = Annotated[tuple[PositiveInt], _repeat(1)]
Size2D = Annotated[tuple[PositiveInt, PositiveInt], _repeat(2)]
"""Positive size for each of two axes; a single integer is used for both."""
Size3D = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], _repeat(3)]

Count1D = Annotated[tuple[NonNegativeInt], _repeat(1, least=0)]
Count2D = Annotated[tuple[NonNegativeInt, NonNegativeInt], _repeat(2, least=0)]
"""Non-negative size for each of two axes; a single integer is used for both."""
Count3D = Annotated[tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt], _repeat(3, least=0)]

Margin1D = Count2D
"""Sizes before and after an axis (padding, cropping), as a pair; a single integer is used for both sides."""
Margin2D = Annotated[tuple[Margin1D, Margin1D], _repeat(2, least=0)]
Margin3D = Annotated[tuple[Margin1D, Margin1D, Margin1D], _repeat(3, least=0)]

_Byte = Annotated[int, Field(ge=0, le=255)]
Color = Annotated[tuple[_Byte, _Byte, _Byte], _repeat(3, least=0)]
"""Red, green and blue in 0..255; a single integer is a grey."""

DataFormat = Annotated[
    Literal["channels_last", "channels_first"],
    Field(description="Position of the channel axis: last, or first after the batch axis."),
]
DType = Literal[
    "float16", "bfloat16", "float32", "float64",
    "int8", "int16", "int32", "int64", "uint8", "bool", "string",
]  # fmt: skip
