"""Base classes of the image operations: frozen settings, random parameters, and the change of a batch of images."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.foundation.shapes import DataFormat, Fraction, Seed, Shape, ValueRange, show_shape, to_tuple
from kerascli.language.component import Component
from kerascli.preprocessing.function import full_precision

_Signed = Annotated[float, Field(ge=-1, le=1)]
Factor = Fraction | Annotated[tuple[Fraction, Fraction], BeforeValidator(to_tuple)]
"""Type of a setting from 0 to 1: a number, or [lowest, highest] to draw from."""
SignedFactor = _Signed | Annotated[tuple[_Signed, _Signed], BeforeValidator(to_tuple)]
"""Type of a setting from -1 to 1: a number, or [lowest, highest] to draw from."""

Span = tuple[float, float]


def span(factor: float | Span) -> Span:
    """Return the range (low, high) to draw a factor >= 0 from: 0 to the number `factor`, or its two numbers in
    order."""
    return (min(factor), max(factor)) if isinstance(factor, tuple) else (0.0, factor)


def signed_span(factor: float | Span) -> Span:
    """Return the range (low, high) to draw a signed factor from: minus to plus the number `factor`, or its two numbers
    in order."""
    return (min(factor), max(factor)) if isinstance(factor, tuple) else (-abs(factor), abs(factor))


class ImageOperation(Component):
    """Base class of image operations; their methods get float images (N, C, H, W), whatever `data_format` says."""

    uses: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Arguments of the operation's examples, for docs and tests."""
    integers: ClassVar[tuple[int, ...]] = ()
    """Numbers of the examples whose images are integers."""
    always: ClassVar[bool] = False
    """True if the operation also runs at inference, false if in training only."""
    keeps_integers: ClassVar[bool] = False
    """True if integer images stay integers, false if they become floating point."""
    channels: ClassVar[tuple[int, ...]] = ()
    """Numbers of channels that the operation supports; empty: any number."""
    refused: ClassVar[Mapping[str, str]] = {"bounding_box_format": "batches hold images and labels, no bounding boxes"}

    if TYPE_CHECKING:  # declared by each operation, in the place that Keras has it
        data_format: DataFormat

    def size(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        """Return height and width of the operation's output images. Raises ValueError for unsupported sizes."""
        return height, width

    def draw(self, x: Tensor) -> Any:
        """Draw the random parameters of the image operation, separately for each image of a batch."""
        return None

    @staticmethod
    def selected(x: Tensor, factor: float | Span) -> Tensor:
        """Draw a mask of the images to change (N, 1, 1, 1); as in Keras the probability itself is drawn from a
        factor."""
        return uniform(x, (0, 1)) < uniform(x, factor)

    def change(self, x: Tensor, drawn: Any) -> Tensor:
        """Return the images changed by the operation, with the random parameters that `draw` returned."""
        raise NotImplementedError

    def at_inference(self, x: Tensor) -> Tensor:
        """Return the images as the operation changes them at inference: unchanged, unless overridden."""
        return x

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of an output image, without the batch axis. Raises ValueError for an unsupported input."""
        last = self.data_format == "channels_last"
        order = "height, width, channels" if last else "channels, height, width"
        if len(shape) != 3:
            raise ValueError(f"needs images ({order}), got {show_shape((None, *shape))}")
        (height, width), count = (shape[:-1], shape[-1]) if last else (shape[1:], shape[0])
        if self.channels and count not in (None, *self.channels):
            raise ValueError(f"needs images of {' or '.join(map(str, self.channels))} channels ({order}), got {count}")
        size = self.size(height, width)
        return (*size, count) if last else (count, *size)


class FactorOperation(ImageOperation):
    """Base class of image operations on pixel values whose main setting is `factor`, redeclared by subclasses."""

    factor: Any
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None


class ImageModule(nn.Module):
    """Module that applies an image operation to a batch, in full precision."""

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
        with full_precision(images):  # half precision is too coarse for positions
            if self.training or operation.always:
                with draws.seeded(getattr(operation, "seed", None)):
                    drawn = operation.draw(images)
                images = operation.change(images, drawn)
            else:
                images = operation.at_inference(images)
        images = images.movedim(1, -1) if last else images
        return images.to(x.dtype) if x.is_floating_point() else saturated(images.round(), x.dtype)


def saturated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `x` cast to a dtype; values out of its range are replaced by the nearest limit."""
    if dtype == torch.bool:
        return x.to(dtype)
    limits = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    cast = x.clamp(limits.min, limits.max).to(dtype)
    if x.is_floating_point() and limits.max * torch.finfo(x.dtype).eps > 1:  # x's dtype rounds an integer limit up
        return torch.where(x >= limits.max, limits.max, cast)
    return cast


def uniform(x: Tensor, between: float | Span, *shape: int) -> Tensor:
    """Draw uniform random numbers of `shape` for each image of the batch x; by default one number, (N, 1, 1, 1).

    They are from 0 to the number `between`, or between its two numbers.
    """
    like = x.new_empty((x.shape[0], *(shape or (1, 1, 1))))
    low, high = span(between)
    return draws.uniform(like, low, high) if low < high else like.fill_(low)


def integers(x: Tensor, low: int, last: int, *shape: int) -> Tensor:
    """Draw integers from `low` to `last` for each image of the batch x, in its dtype; by default one, (N, 1, 1, 1)."""
    return uniform(x, (low, last + 1), *shape).floor().clamp(max=last)


REGISTERED: list[type[ImageOperation]] = []

O = TypeVar("O", bound=type[ImageOperation])


def operation(*uses: Mapping[str, Any], integers: tuple[int, ...] = ()) -> Callable[[O], O]:
    """Return a class decorator that registers an image operation as a layer and as a transform; `uses` are examples."""
    assert uses, "an operation has an example"

    def register(cls: O) -> O:
        cls.uses, cls.integers = uses, integers
        REGISTERED.append(cls)
        return cls

    return register
