"""Contrast limited adaptive histogram equalization, CLAHE (Zuiderveld, 1994)."""

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, NonNegativeFloat, Size2D
from kerascli.preprocessing.images.base import ImageOperation, Use, ValueRange, operation
from kerascli.preprocessing.images.color import rescaled

_SHADES = 256


@operation(
    Use({"tile_grid_size": [2, 3]}, dtype="int64"),
    Use({"value_range": [0.0, 1.0], "clip_limit": 2.0, "tile_grid_size": 3}, dtype="int64"),
)
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
        spread = _between_tiles(tables, shades, high, wide)
        return rescaled(spread, (0, 255), self.value_range)

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
