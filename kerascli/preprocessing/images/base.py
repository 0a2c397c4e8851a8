"""What an operation on images is: frozen settings, what is drawn for them, and what is done with it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import torch
from pydantic import AfterValidator, BeforeValidator, Field
from torch import Tensor, nn

from kerascli import draws
from kerascli.component import Component
from kerascli.shapes import DataFormat, Seed, Shape, show_shape


def to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] >= pair[1]:
        raise ValueError(f"expected [lowest, highest], got {list(pair)}")
    return pair


_Share = Annotated[float, Field(ge=0, le=1)]
_Signed = Annotated[float, Field(ge=-1, le=1)]
Factor = _Share | Annotated[tuple[_Share, _Share], BeforeValidator(to_tuple)]
"""From 0 to 1: a number, or the lowest and the highest."""
SignedFactor = _Signed | Annotated[tuple[_Signed, _Signed], BeforeValidator(to_tuple)]
"""From -1 to 1: a number, or the lowest and the highest."""
ValueRange = Annotated[tuple[float, float], BeforeValidator(to_tuple), AfterValidator(_ordered)]

Span = tuple[float, float]


def span(factor: float | Span) -> Span:
    """What a factor from 0 on is drawn from: a number is the highest."""
    return (min(factor), max(factor)) if isinstance(factor, tuple) else (0.0, factor)


def signed_span(factor: float | Span) -> Span:
    """What a factor on both sides of 0 is drawn from: a number is as far as it goes either way."""
    return (min(factor), max(factor)) if isinstance(factor, tuple) else (-abs(factor), abs(factor))


@dataclass(frozen=True, slots=True)
class Use:
    """A documented use: arguments, and what becomes of images of this shape."""

    config: Mapping[str, Any] = field(default_factory=dict)
    input: Shape = (8, 6, 3)
    output: Shape = (8, 6, 3)
    dtype: str = "float32"


class ImageOperation(Component):
    """Something done to images. Its methods see float (N, C, H, W), whatever the data's format is."""

    uses: ClassVar[tuple[Use, ...]] = ()
    always: ClassVar[bool] = False
    """It acts at inference, too; otherwise in training alone."""
    keeps_integers: ClassVar[bool] = False
    """Whole numbers stay whole numbers; otherwise they become floats."""
    channels: ClassVar[tuple[int, ...]] = ()
    """The numbers of channels that it can take; empty: any."""
    refused: ClassVar[Mapping[str, str]] = {"bounding_box_format": "batches hold images and labels, no boxes"}

    if TYPE_CHECKING:  # declared by each operation, in the place that Keras has it
        data_format: DataFormat

    def size(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        """The size of the images that come out. Raises ValueError for those that it cannot take."""
        return height, width

    def draw(self, x: Tensor) -> Any:
        """The random parameters, one of each a sample."""
        return None

    def change(self, x: Tensor, drawn: Any) -> Tensor:
        """What is done, given what was drawn."""
        raise NotImplementedError

    def rest(self, x: Tensor) -> Tensor:
        """What is done at inference."""
        return x

    def shape(self, shape: Shape) -> Shape:
        """The shape, without the batch axis, of what comes out. Raises ValueError for what it cannot take."""
        last = self.data_format == "channels_last"
        order = "height, width, channels" if last else "channels, height, width"
        if len(shape) != 3:
            raise ValueError(f"needs images ({order}), got {show_shape((None, *shape))}")
        (height, width), count = (shape[:-1], shape[-1]) if last else (shape[1:], shape[0])
        if self.channels and count not in (None, *self.channels):
            wanted = " or ".join(map(str, self.channels))
            raise ValueError(f"needs images of {wanted} channels ({order}), got {count}")
        size = self.size(height, width)
        return (*size, count) if last else (count, *size)


class FactorOperation(ImageOperation):
    """An operation on values whose strength is one factor; each says anew what its factor means."""

    factor: Factor
    value_range: ValueRange = (0, 255)
    """The lowest and the highest value of the images."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None


class ImageModule(nn.Module):
    """Runs an operation on a batch, in full precision."""

    def __init__(self, operation: ImageOperation) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, x: Tensor) -> Tensor:  # (N, H, W, C) -> (N, H', W', C)
        operation = self.operation
        if not x.is_floating_point() and not operation.keeps_integers:
            x = x.to(torch.get_default_dtype())
        images = x if x.dtype == torch.float64 else x.float()
        last = operation.data_format == "channels_last"
        images = images.movedim(-1, 1) if last else images
        with _full_precision(images):
            if self.training or operation.always:
                with draws.seeded(getattr(operation, "seed", None)):
                    drawn = operation.draw(images)
                images = operation.change(images, drawn)
            else:
                images = operation.rest(images)
        images = images.movedim(1, -1) if last else images
        return images.to(x.dtype) if x.is_floating_point() else _whole(images, x.dtype)


def _whole(x: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.bool:
        return x.round().to(dtype)
    limits = torch.iinfo(dtype)
    return x.round().clamp(limits.min, limits.max).to(dtype)


def _full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Half precision is too coarse for places in an image."""
    kind = x.device.type
    known = torch.amp.autocast_mode.is_autocast_available(kind)
    return torch.autocast(kind, enabled=False) if known and torch.is_autocast_enabled(kind) else nullcontext()


def uniform(x: Tensor, between: Span, *shape: int) -> Tensor:
    """Uniform numbers of `shape` for each sample; by default one that can be multiplied with its image."""
    like = x.new_empty((x.shape[0], *(shape or (1, 1, 1))))
    low, high = between
    return draws.uniform(like, low, high) if low < high else like.fill_(low)


def chosen(x: Tensor, factor: float | Span) -> Tensor:
    """Which images are to be changed (N, 1, 1, 1); as in Keras the probability itself is drawn from `factor`."""
    return uniform(x, (0, 1)) < uniform(x, span(factor))


REGISTERED: list[type[ImageOperation]] = []

O = TypeVar("O", bound=type[ImageOperation])


def operation(*uses: Use) -> Callable[[O], O]:
    """Register an operation as a layer and as a transform; its first use is the one that the reference shows."""
    assert uses, "an operation has an example"

    def register(cls: O) -> O:
        cls.uses = uses
        REGISTERED.append(cls)
        return cls

    return register
