"""Random elastic transforms, perspectives and erased rectangles."""

from typing import Annotated

import torch
from pydantic import BeforeValidator
from torch import Tensor

from kerascli.foundation import draws
from kerascli.foundation.shapes import DataFormat, Fraction, Seed, Shape, ValueRange, to_tuple
from kerascli.preprocessing.images.base import Factor, ImageOperation, operation, span, uniform
from kerascli.preprocessing.images.filters import blur, gaussian_taps
from kerascli.preprocessing.resampling import AnyFillMode, Interpolation, pixels, warp


@operation({})
class RandomElasticTransform(ImageOperation):
    """Distorts some images elastically in training: pixels are displaced by smoothed random noise.

    Input and output: (N, H, W, C). Paper: Simard et al., 2003.
    """

    factor: Factor = 1.0
    """Probability to change an image, drawn from 0 to this value, or from [lowest, highest]."""
    scale: Factor = 1.0
    """Strength of the distortion, drawn for each image from 0 to this value, or from [lowest, highest]."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    fill_mode: AnyFillMode = "reflect"
    """Fill outside of the image: reflection (mirror: without border), wrapped copies, fill_value, or border pixels."""
    fill_value: float = 0.0
    """Value outside of the image with fill_mode constant."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw which images to change (N, 1, 1, 1), the strength (N, 1), and noise across and down (N, 2, H, W)."""
        noise = x.new_empty((x.shape[0], 2, *x.shape[-2:]))
        return self.selected(x, self.factor), uniform(x, self.scale, 1), draws.normal(noise)

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        selected, strength, noise = drawn
        height, width = x.shape[-2:]
        largest = span(self.scale)[1]
        if largest == 0:
            return x
        length = 0.05 * min(height, width)
        sigma = (strength * length).clamp(min=1e-6)
        taps = gaussian_taps(sigma, int(3 * (largest * length)), reach=(3 * sigma).floor())
        shift = blur(noise * sigma.view(-1, 1, 1, 1), taps, taps)
        shift = shift * (strength * 0.1 * max(height, width)).view(-1, 1, 1, 1)
        across, down = pixels(x)
        across, down = across + shift[:, 0], down + shift[:, 1]
        bent = warp(x, across, down, self.interpolation, self.fill_mode, self.fill_value)
        return torch.where(selected, bent, x).clamp(*self.value_range)


@operation({})
class RandomPerspective(ImageOperation):
    """Transforms the perspective of some images in training, by moving their corners; the upper left one stays.

    Input and output: (N, H, W, C).
    """

    factor: Factor = 1.0
    """Probability to change an image, drawn from 0 to this value, or from [lowest, highest]."""
    scale: Fraction = 1.0
    """Maximum movement of a corner: a coordinate changes by a random fraction of itself, up to half this number."""
    interpolation: Interpolation = "bilinear"
    """Interpolation between pixels."""
    fill_value: float = 0.0
    """Value outside of the image."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def size(self, height: int | None, width: int | None) -> tuple[int | None, int | None]:
        if height == 1 or width == 1:
            raise ValueError("needs images of at least 2 x 2 pixels: a line has no perspective")
        return height, width

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw which images to change (N, 1, 1, 1), and the relative change of their four corners' (x, y) (N, 4, 2)."""
        return self.selected(x, self.factor), uniform(x, (-self.scale / 2, self.scale / 2), 4, 2)

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        selected, growth = drawn
        height, width = x.shape[-2:]
        across, down = _sources(x, growth, width - 1, height - 1)
        bent = warp(x, across, down, self.interpolation, "constant", self.fill_value)
        return torch.where(selected, bent, x)


def _sources(x: Tensor, growth: Tensor, right: int, bottom: int) -> tuple[Tensor, Tensor]:
    """Return the source position in the image of each output pixel, for corners moved by the factors 1 + `growth`.

    It is in closed form: the map from the unit square to the quadrilateral, then its inverse by cofactors (Heckbert,
    Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3). The corners are (0, 0), (right, 0),
    (0, bottom), (right, bottom) before they are moved, and in Heckbert's order in the code.
    """
    ones = torch.ones_like(growth[:, 0, 0])
    x1, y1 = right * (1 + growth[:, 1, 0]), 0 * ones
    x2, y2 = right * (1 + growth[:, 3, 0]), bottom * (1 + growth[:, 3, 1])
    x3, y3 = 0 * ones, bottom * (1 + growth[:, 2, 1])
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x2 - x1 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y2 - y1 - y3
    turn = dx1 * dy2 - dx2 * dy1
    g, h = (dx3 * dy2 - dx2 * dy3) / turn, (dx1 * dy3 - dx3 * dy1) / turn
    a, b, d, e = (part.view(-1, 1, 1) for part in (x1 + g * x1, x3 + h * x3, y1 + g * y1, y3 + h * y3))
    g, h = g.view(-1, 1, 1), h.view(-1, 1, 1)
    i, j = pixels(x)
    depth = (d * h - e * g) * i + (b * g - a * h) * j + (a * e - b * d)
    return right * (e * i - b * j) / depth, bottom * (a * j - d * i) / depth


Drawn = tuple[Tensor, Tensor, Tensor, Tensor | None]


@operation({})
class RandomErasing(ImageOperation):
    """Fills a random rectangle of some images with noise or a colour in training.

    Input and output: (N, H, W, C). Paper: Zhong et al., 2017.
    """

    factor: Factor = 1.0
    """Probability to change an image, drawn from 0 to this value, or from [lowest, highest]."""
    scale: Factor = (0.02, 0.33)
    """Square of the rectangle's relative size, drawn for each side from 0 to this value, or from [lowest, highest]."""
    fill_value: float | Annotated[tuple[float, float, float], BeforeValidator(to_tuple)] | None = None
    """Fill of the rectangle: a number, one for each of three channels, or null: normal noise."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values; the fill is clipped to it."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def shape(self, shape: Shape) -> Shape:
        shape = super().shape(shape)
        count = shape[-1] if self.data_format == "channels_last" else shape[0]
        if isinstance(self.fill_value, tuple) and count not in (None, 3):
            raise ValueError(f"fill_value has 3 numbers, the images have {count} channels")
        return shape

    def draw(self, x: Tensor) -> Drawn:
        """Draw which images to change (N, 1, 1, 1), the rectangles to erase, and noise of the images' shape.

        A rectangle is its fractions of height and width, and its start as a fraction of the possible ones, (N, 2) each.
        """
        parts = uniform(x, self.scale, 2).sqrt()
        noise = draws.normal(x) if self.fill_value is None else None
        return self.selected(x, self.factor), parts, uniform(x, (0, 1), 2), noise

    def change(self, x: Tensor, drawn: Drawn) -> Tensor:
        selected, parts, starts, noise = drawn
        _, _, in_column = stretch(parts[:, 0], starts[:, 0], x.shape[-2])
        _, _, in_row = stretch(parts[:, 1], starts[:, 1], x.shape[-1])
        inside = in_column.unsqueeze(2) & in_row.unsqueeze(1)
        return torch.where(selected & inside.unsqueeze(1), self._filling(x, noise), x)

    def _filling(self, x: Tensor, noise: Tensor | None) -> Tensor:
        low, high = self.value_range
        if noise is not None:
            return (noise * high).clamp(low, high)
        values = self.fill_value if isinstance(self.fill_value, tuple) else (self.fill_value,)
        return torch.cat([x.new_full((1, 1, 1, 1), min(max(value or 0.0, low), high)) for value in values], 1)


def stretch(part: Tensor, place: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return start and end (N,) of a box along one side of images, and a mask of the side's pixels in it (N, size).

    The box covers the fraction `part` (N,) of the side; `place` (N,) is 0 for the first position, 1 for the last.
    """
    length = part * size
    first = place * (size - length)
    last = first + length
    pixels = torch.arange(size, dtype=part.dtype, device=part.device)
    return first, last, (pixels >= first.unsqueeze(1)) & (pixels < last.unsqueeze(1))
