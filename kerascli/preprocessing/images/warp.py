"""Random flips, rotations, shears, translations and zooms: output pixels are sampled from their source in the input."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import AfterValidator
from torch import Tensor

from kerascli.foundation import draws
from kerascli.foundation.shapes import DataFormat, Seed
from kerascli.preprocessing.images.base import Factor, ImageOperation, SignedFactor, operation, signed_span, uniform
from kerascli.preprocessing.resampling import FillMode, Interpolation, pixels, warp

Row = tuple[Tensor | float, Tensor | float, Tensor | float]


_AXES = {"horizontal": (-1,), "vertical": (-2,), "horizontal_and_vertical": (-1, -2)}


@operation({})
class RandomFlip(ImageOperation):
    """Flips each image with probability 1/2 in training.

    Input and output: (N, H, W, C). As in Keras 3 horizontal_and_vertical flips both ways or not at all; for independent
    flips use two layers.
    """

    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal_and_vertical"
    """Direction of the flip: horizontal (left to right), vertical (upside down), or both at once."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        return draws.bernoulli(x, 0.5, (x.shape[0], 1, 1, 1)).bool()

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn, x.flip(_AXES[self.mode]), x)


class AffineOperation(ImageOperation):
    """Base class of affine transforms of images."""

    if TYPE_CHECKING:  # declared by each transform, in the order of Keras's arguments
        fill_mode: FillMode
        interpolation: Interpolation
        fill_value: float

    def sources(self, x: Tensor, drawn: Any) -> tuple[Row, Row]:
        """Return coefficients across and down, (N, 1, 1) or numbers: their dot products with (i, j, 1) are the position
        in the input that output pixel (i, j) is sampled from."""
        raise NotImplementedError

    def change(self, x: Tensor, drawn: Any) -> Tensor:
        i, j = pixels(x)
        across, down = (a * i + b * j + c for a, b, c in self.sources(x, drawn))
        return warp(x, across, down, self.interpolation, self.fill_mode, self.fill_value)


@operation({"factor": 0.1})
class RandomRotation(AffineOperation):
    """Rotates images about their centre by a random angle in training; positive angles are counter-clockwise.

    Input and output: (N, H, W, C).
    """

    factor: SignedFactor
    """Angle as a fraction of a full turn (2 pi), drawn from -x to x for a number x, or from [lowest, highest]."""
    fill_mode: FillMode = "reflect"
    """Fill outside of the image: its reflection, wrapped copies, fill_value (constant), or the nearest border pixel."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    seed: Seed = None
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> Tensor:
        """Draw the rotation angle of each image, in radians (N, 1, 1)."""
        low, high = signed_span(self.factor)
        return uniform(x, (2 * math.pi * low, 2 * math.pi * high), 1, 1)

    def sources(self, x: Tensor, drawn: Tensor) -> tuple[Row, Row]:
        cos, sin = drawn.cos(), drawn.sin()
        middle_y, middle_x = ((size - 1) / 2 for size in x.shape[-2:])
        across = cos, -sin, middle_x - middle_x * cos + middle_y * sin
        return across, (sin, cos, middle_y - middle_x * sin - middle_y * cos)


@operation({"x_factor": 0.2, "y_factor": 0.1})
class RandomShear(AffineOperation):
    """Shears images in training: rows shift sideways and columns vertically, in proportion to their index.

    Input and output: (N, H, W, C).
    """

    x_factor: Factor = 0.0
    """Horizontal shift per row, drawn from -x to x for a number x, or from [lowest, highest] with a random sign."""
    y_factor: Factor = 0.0
    """Vertical shift per column, drawn from -x to x for a number x, or from [lowest, highest] with a random sign."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    fill_mode: FillMode = "reflect"
    """Fill outside of the image: its reflection, wrapped copies, fill_value (constant), or the nearest border pixel."""
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    data_format: DataFormat = "channels_last"
    seed: Seed = None

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the horizontal and vertical shift of each image (N, 1, 1), with one random sign for both."""
        sign = torch.where(uniform(x, (0, 1), 1, 1) > 0.5, -1.0, 1.0)
        across, down = (uniform(x, signed_span(factor), 1, 1) for factor in (self.x_factor, self.y_factor))
        return sign * across, sign * down

    def sources(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> tuple[Row, Row]:
        across, down = drawn
        return (1, across, 0), (down, 1, 0)


@operation({"height_factor": 0.2, "width_factor": 0.1})
class RandomTranslation(AffineOperation):
    """Shifts images in training, by random fractions of their height and width; positive is down and right.

    Input and output: (N, H, W, C).
    """

    height_factor: SignedFactor
    """Shift down as a fraction of the height, drawn from -x to x for a number x, or from [lowest, highest]."""
    width_factor: SignedFactor
    """Shift right as a fraction of the width, drawn from -x to x for a number x, or from [lowest, highest]."""
    fill_mode: FillMode = "reflect"
    """Fill outside of the image: its reflection, wrapped copies, fill_value (constant), or the nearest border pixel."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    seed: Seed = None
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the shifts of each image down and to the right, in pixels (N, 1, 1)."""
        height, width = x.shape[-2:]
        down, right = (uniform(x, signed_span(factor), 1, 1) for factor in (self.height_factor, self.width_factor))
        return down * height, right * width

    def sources(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> tuple[Row, Row]:
        down, right = drawn
        return (1, 0, -right), (0, 1, -down)


def _not_endless(factor: float | tuple[float, float]) -> float | tuple[float, float]:
    if -1.0 in (factor if isinstance(factor, tuple) else (factor,)):
        raise ValueError("must be above -1: at -1 a single point would fill the image")
    return factor


ZoomFactor = Annotated[SignedFactor, AfterValidator(_not_endless)]


@operation({"height_factor": 0.2})
class RandomZoom(AffineOperation):
    """Zooms images in training, out for positive factors and in for negative ones; their size stays.

    Input and output: (N, H, W, C).
    """

    height_factor: ZoomFactor
    """Change of the visible height as a fraction, drawn from -x to x for a number x, or from [lowest, highest]."""
    width_factor: ZoomFactor | None = None
    """Change of the visible width, drawn as for the height; null: equal to the height's, to keep the aspect ratio."""
    fill_mode: FillMode = "reflect"
    """Fill outside of the image: its reflection, wrapped copies, fill_value (constant), or the nearest border pixel."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    seed: Seed = None
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the fractions of an image's height and width that its output shows (N, 1, 1); above 1 zooms out."""
        high = 1 + uniform(x, signed_span(self.height_factor), 1, 1)
        if self.width_factor is None:
            return high, high
        return high, 1 + uniform(x, signed_span(self.width_factor), 1, 1)

    def sources(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> tuple[Row, Row]:
        high, wide = drawn
        middle_y, middle_x = ((size - 1) / 2 for size in x.shape[-2:])
        return (wide, 0, middle_x * (1 - wide)), (0, high, middle_y * (1 - high))
