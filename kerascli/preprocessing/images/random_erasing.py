"""RandomErasing: fills a random rectangle of images (Zhong et al., 2017)."""

from typing import Annotated

import torch
from pydantic import BeforeValidator
from torch import Tensor

from kerascli.foundation import draws
from kerascli.foundation.shapes import DataFormat, Seed, to_tuple
from kerascli.preprocessing.images.base import (
    Factor,
    ImageOperation,
    Use,
    ValueRange,
    draw_selected,
    operation,
    span,
    uniform,
)
from kerascli.preprocessing.images.warp import pixels

Drawn = tuple[Tensor, Tensor, Tensor, Tensor | None]


@operation(Use(), Use({"factor": [0.5, 1.0], "scale": [0.1, 0.5], "fill_value": [1.0, 2.0, 3.0]}))
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

    def shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        shape = super().shape(shape)
        count = shape[-1] if self.data_format == "channels_last" else shape[0]
        if isinstance(self.fill_value, tuple) and count not in (None, 3):
            raise ValueError(f"fill_value has 3 numbers, the images have {count} channels")
        return shape

    def draw(self, x: Tensor) -> Drawn:
        """Draw which images to change (N, 1, 1, 1), the rectangles to erase, and noise of the images' shape.

        A rectangle is its fractions of height and width, and its start as a fraction of the possible ones, (N, 2) each.
        """
        parts = uniform(x, span(self.scale), 2).sqrt()
        noise = draws.normal(x) if self.fill_value is None else None
        return draw_selected(x, self.factor), parts, uniform(x, (0, 1), 2), noise

    def change(self, x: Tensor, drawn: Drawn) -> Tensor:
        selected, parts, starts, noise = drawn
        across, down = pixels(x)
        inside = _within(down, x.shape[-2], parts[:, 0], starts[:, 0])
        inside = inside & _within(across, x.shape[-1], parts[:, 1], starts[:, 1])
        return torch.where(selected & inside.unsqueeze(1), self._filling(x, noise), x)

    def _filling(self, x: Tensor, noise: Tensor | None) -> Tensor:
        low, high = self.value_range
        if noise is not None:
            return (noise * high).clamp(low, high)
        values = self.fill_value if isinstance(self.fill_value, tuple) else (self.fill_value,)
        shape = (1, 1, 1, 1)
        return torch.cat([x.new_full(shape, min(max(value or 0.0, low), high)) for value in values], 1)


def _within(place: Tensor, size: int, part: Tensor, start: Tensor) -> Tensor:
    """Return a mask of an image side's pixels within an interval, which covers the fraction `part` of the side.

    `start` places the interval: 0 first, 1 as late as possible.
    """
    length = part * size
    first = start * (size - length)
    return (place >= first.view(-1, 1, 1)) & (place < (first + length).view(-1, 1, 1))
