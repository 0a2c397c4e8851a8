"""Changes of pixel values by themselves or by their histogram: inversion, posterization, solarization, equalization."""

from typing import Annotated

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, NonNegativeFloat, Seed, Size2D, ValueRange, to_tuple
from kerascli.preprocessing.images.base import Factor, FactorOperation, ImageOperation, integers, operation, uniform
from kerascli.preprocessing.images.colors import rescaled


@operation({})
class RandomInvert(FactorOperation):
    """Inverts some images in training: values become the maximum of the range minus the value.

    Input and output: (N, H, W, C).
    """

    factor: Factor = 1.0
    """Probability to invert an image, drawn from 0 to this value, or from [lowest, highest]."""

    def draw(self, x: Tensor) -> Tensor:
        return self.selected(x, self.factor)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        return torch.where(drawn, self.value_range[1] - x, x)


_Bits = Annotated[int, Field(ge=1, le=8)]
Bits = _Bits | Annotated[tuple[_Bits, _Bits], BeforeValidator(to_tuple)]


@operation({"factor": 5})
class RandomPosterization(FactorOperation):
    """Posterizes images in training: keeps the highest bits of values from 0 to 255 and clears the others.

    Input and output: (N, H, W, C).
    """

    factor: Bits
    """Number of bits to keep, drawn from 1 to this number minus 1 (1: always 1), or from a to b - 1 for [a, b]."""

    def draw(self, x: Tensor) -> Tensor:
        """Draw the distance between neighbouring shades that are kept: a power of 2."""
        low, high = sorted(self.factor) if isinstance(self.factor, tuple) else (1, self.factor)
        return 2 ** (8 - integers(x, low, max(low, high - 1)))

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        shades = rescaled(x, self.value_range, (0, 255)).clamp(0, 255).floor()
        return rescaled((shades / drawn).floor() * drawn, (0, 255), self.value_range)


@operation({"threshold_factor": 0.8})
class Solarization(ImageOperation):
    """Solarizes images in training: adds a random number, then inverts the values from a threshold on.

    Input and output: (N, H, W, C). Values are scaled to 0 to 255 for it; a value v is inverted to 255 - v.
    """

    addition_factor: Factor = 0.0
    """Number to add, as a fraction of 255, drawn from 0 to this value, or from [lowest, highest]."""
    threshold_factor: Factor = 0.0
    """Threshold as a fraction of 255, drawn from 0 to this value, or from [lowest, highest]."""
    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    seed: Seed = None
    data_format: DataFormat = "channels_last"

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the number to add to an image's values, and the threshold of inversion."""
        return 255 * uniform(x, self.addition_factor), 255 * uniform(x, self.threshold_factor)

    def change(self, x: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        addition, threshold = drawn
        x = (rescaled(x, self.value_range, (0, 255)) + addition).clamp(0, 255)
        return rescaled(torch.where(x < threshold, x, 255 - x), (0, 255), self.value_range)


@operation({"value_range": [0.0, 1.0]})
class AutoContrast(ImageOperation):
    """Stretches each channel of each image linearly to the whole range of values, in training and at inference.

    Input and output: (N, H, W, C). A channel with a single value stays as it is.
    """

    always = True

    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    data_format: DataFormat = "channels_last"

    def change(self, x: Tensor, drawn: None) -> Tensor:
        shades = rescaled(x, self.value_range, (0, 255))
        low, high = shades.amin((-2, -1), keepdim=True), shades.amax((-2, -1), keepdim=True)
        scale = 255 / torch.where(high > low, high - low, 1.0)
        stretched = (shades * scale - low * scale).clamp(0, 255)
        return torch.where(high > low, rescaled(stretched, (0, 255), self.value_range), x)


@operation({}, integers=(0,))
class Equalization(ImageOperation):
    """Histogram equalization: in training spreads each channel's values so that they are about equally frequent.

    Input and output: (N, H, W, C). Each image is equalized on its own; Keras uses the histogram of the whole batch.
    """

    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    bins: Annotated[int, Field(ge=2, le=65536)] = 256
    """Number of histogram bins."""
    data_format: DataFormat = "channels_last"

    def change(self, x: Tensor, drawn: None) -> Tensor:
        shades = rescaled(x, self.value_range, (0, 255)).flatten(2)  # (N, C, H * W)
        last = self.bins - 1
        counted = (shades * last / 255).long().clamp(0, last)
        count = torch.zeros(*shades.shape[:2], self.bins, dtype=torch.long, device=x.device)
        below = count.scatter_add(2, counted, torch.ones_like(counted)).cumsum(2)
        first = torch.where(below > 0, below, shades.shape[-1]).amin(2, keepdim=True)
        rest = below[..., -1:] - first
        table = ((below - first) * 255 / rest.clamp(min=1).to(x.dtype)).round().clamp(0, 255)
        looked_up = (shades / 255 * last).clamp(0, last).long()
        spread = torch.where(rest > 0, table.gather(2, looked_up), shades)
        return rescaled(spread, (0, 255), self.value_range).view_as(x)


_SHADES = 256


@operation({"tile_grid_size": [2, 3]}, integers=(0,))
class ContrastLimitedAdaptiveHistogramEqualization(ImageOperation):
    """CLAHE: equalizes the histogram of each tile with limited contrast, in training and at inference.

    Input and output: (N, H, W, C). Results are interpolated between tiles. Paper: Zuiderveld, 1994.
    """

    always = True

    value_range: ValueRange = (0, 255)
    """Minimum and maximum of the pixel values."""
    clip_limit: NonNegativeFloat = 4.0
    """Limit of each histogram bin, in multiples of the mean bin, so that noise is not amplified; 0: no limit."""
    tile_grid_size: Size2D = (8, 8)
    """Number of tiles: one integer for both axes, or [rows, columns]."""
    data_format: DataFormat = "channels_last"

    def change(self, x: Tensor, drawn: None) -> Tensor:
        rows, columns = x.shape[-2:]
        down, across = self.tile_grid_size
        high, wide = -(-rows // down), -(-columns // across)
        shades = rescaled(x, self.value_range, (0, 255)).clamp(0, 255).long()
        tiles = _mirrored(_mirrored(shades, 2, high * down), 3, wide * across)
        tiles = tiles.unflatten(3, (across, wide)).unflatten(2, (down, high)).transpose(3, 4).flatten(4)
        tables = self._tables(tiles, x.dtype)  # (N, C, tiles down, tiles across, shades)
        return rescaled(_between_tiles(tables, shades, high, wide), (0, 255), self.value_range)

    def _tables(self, tiles: Tensor, dtype: torch.dtype) -> Tensor:
        """Return tables of new shades for the tiles: (N, C, down, across, pixels) to (N, C, down, across, 256)."""
        pixels = tiles.shape[-1]
        count = torch.zeros(*tiles.shape[:-1], _SHADES, dtype=torch.long, device=tiles.device)
        share = count.scatter_add(-1, tiles, torch.ones_like(tiles)).to(dtype)
        if self.clip_limit > 0:
            kept = share.clamp(max=self.clip_limit * pixels / _SHADES)
            share = kept + (share - kept).sum(-1, keepdim=True) / _SHADES
        below = share.cumsum(-1)
        first = below[..., :1]  # count of the lowest shade: the cumulative sum's minimum
        rest = pixels - first
        return ((below - first) * 255 / torch.where(rest == 0, 1.0, rest)).clamp(0, 255)


def _mirrored(x: Tensor, axis: int, size: int) -> Tensor:
    """Extend an axis of images to `size` by reflection, border pixels included."""
    old = x.shape[axis]
    if size == old:
        return x
    place = torch.arange(size, device=x.device).remainder(2 * old)
    return x.index_select(axis, torch.where(place < old, place, 2 * old - 1 - place))


def _between_tiles(tables: Tensor, shades: Tensor, high: int, wide: int) -> Tensor:
    """Look up each pixel's shade in the tables of the four nearest tiles, and interpolate the results by distance."""
    down, across = tables.shape[2:4]
    top, bottom, below = _neighbours(shades, 2, high, down)
    left, right, beside = _neighbours(shades, 3, wide, across)
    flat = tables.flatten(2)  # (N, C, d * a * 256)

    def look_up(row: Tensor, column: Tensor) -> Tensor:
        place = (row.unsqueeze(1) * across + column) * _SHADES + shades
        return flat.gather(2, place.flatten(2)).view_as(shades)

    upper = torch.lerp(look_up(top, left), look_up(top, right), beside.to(tables.dtype))
    lower = torch.lerp(look_up(bottom, left), look_up(bottom, right), beside.to(tables.dtype))
    return torch.lerp(upper, lower, below.to(tables.dtype).unsqueeze(1))


def _neighbours(x: Tensor, axis: int, size: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each pixel along an axis, the indices of the two tiles whose centres are before and after it.

    The third result is the pixel's fraction of the way from one centre to the other.
    """
    place = torch.arange(x.shape[axis], dtype=torch.float64, device=x.device) / size - 0.5
    before = place.floor()
    first, second = (tile.clamp(0, count - 1).long() for tile in (before, before + 1))
    return first, second, place - before
