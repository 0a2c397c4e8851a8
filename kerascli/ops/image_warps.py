"""Operations of affine and perspective transforms of images (*, H, W, channels), and interpolation at coordinates."""

import itertools
from typing import Literal

import torch
from torch import Tensor

from kerascli.ops.base import Refusal, as_float, op
from kerascli.ops.images import of_images
from kerascli.preprocessing.resampling import Interpolation, pixels, warp

_FillMode = Literal["constant", "nearest", "wrap", "mirror", "reflect"]


@op("image.affine_transform", keeps_integers=True)
def affine_transform(
    images: Tensor, transform: Tensor, interpolation: Interpolation = "bilinear", fill_mode: _FillMode = "constant",
    fill_value: float = 0,
) -> Tensor:  # fmt: skip
    """Apply an affine transform [a0, a1, a2, b0, b1, b2, 0, 0]: out(x, y) = in(a0 x + a1 y + a2, b0 x + b1 y + b2)."""
    if transform.ndim not in (1, 2) or transform.shape[-1] != 8:
        raise Refusal("transform: expected shape (8,) or (batch, 8)", 1)
    a0, a1, a2, b0, b1, b2, _, _ = as_float(transform).reshape(-1, 8, 1, 1).unbind(1)

    def change(x: Tensor) -> Tensor:
        i, j = pixels(x)
        across, down = (a0 * i + a1 * j + a2).to(x.dtype), (b0 * i + b1 * j + b2).to(x.dtype)
        return warp(x, across, down, interpolation=interpolation, fill_mode=fill_mode, fill_value=fill_value)

    return of_images(images, change)


@op("image.perspective_transform", keeps_integers=True)
def perspective_transform(
    images: Tensor, start_points: Tensor, end_points: Tensor, interpolation: Interpolation = "bilinear",
    fill_value: float = 0,
) -> Tensor:  # fmt: skip
    """Apply the perspective transform that maps four points [[x, y], ...] to four others, all (4, 2) or (N, 4, 2)."""
    if start_points.shape != end_points.shape or start_points.shape[-2:] != (4, 2) or start_points.ndim > 3:
        raise Refusal("expected two tensors of points (4, 2) or (batch, 4, 2)")

    def change(x: Tensor) -> Tensor:
        a = _homography(*(points.to(x.dtype).reshape(-1, 4, 2) for points in (start_points, end_points)))
        a0, a1, a2, a3, a4, a5, a6, a7 = a.reshape(-1, 8, 1, 1).unbind(1)
        i, j = pixels(x)
        below = a6 * i + a7 * j + 1
        across, down = (a0 * i + a1 * j + a2) / below, (a3 * i + a4 * j + a5) / below
        return warp(x, across, down, interpolation=interpolation, fill_mode="constant", fill_value=fill_value)

    return of_images(images, change)


def _homography(start: Tensor, end: Tensor) -> Tensor:
    """Return the homographies (N, 8), perspective transforms that map points `end` (N, 4, 2) to points `start`."""
    x, y = end.unbind(-1)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    places = [[x, y, one, none, none, none], [none, none, none, x, y, one]]
    pairs = zip(places, start.unbind(-1), strict=True)
    rows = [torch.stack([*place, -target * x, -target * y], -1) for place, target in pairs]
    return torch.linalg.solve(torch.cat(rows, 1), torch.cat(start.unbind(-1), 1))


@op("image.map_coordinates")
def map_coordinates(
    inputs: Tensor, coordinates: Tensor, order: int, fill_mode: _FillMode = "constant", fill_value: float = 0
) -> Tensor:
    """Interpolate a tensor at coordinates of shape (number of axes, *): nearest (order 0) or linear (order 1)."""
    if order not in (0, 1):
        raise Refusal(f"order: expected 0 or 1, got {order}", "order")
    if coordinates.ndim < 1 or coordinates.shape[0] != inputs.ndim:
        raise Refusal(f"coordinates: expected a first axis of {inputs.ndim}, the axes of inputs", 1)
    by_axis = [_neighbours(place, order) for place in as_float(coordinates).unbind()]
    total = None
    for corner in itertools.product(*by_axis):
        sizes = zip(corner, inputs.shape, strict=True)
        values = inputs[tuple(_inside(place, size, fill_mode) for (place, _), size in sizes)]
        if fill_mode == "constant":
            for (place, _), size in zip(corner, inputs.shape, strict=True):
                values = torch.where((place >= 0) & (place < size), values, fill_value)
        for _, weight in corner:
            values = values * weight
        total = values if total is None else total + values
    assert total is not None
    return total if inputs.is_floating_point() else total.round().to(inputs.dtype)


def _neighbours(place: Tensor, order: int) -> list[tuple[Tensor, Tensor]]:
    """Return the integer coordinates next to each coordinate along an axis, with their interpolation weights."""
    if order == 0:
        return [(place.round().long(), torch.ones_like(place))]
    lower = place.floor()
    return [(lower.long(), 1 - (place - lower)), (lower.long() + 1, place - lower)]


def _inside(place: Tensor, size: int, fill_mode: str) -> Tensor:
    """Map coordinates outside the range of an axis to coordinates inside it, as defined by the fill mode."""
    match fill_mode:
        case "wrap":
            return place.remainder(size)
        case "mirror":  # about the centers of the border values
            return ((place + size - 1).remainder(max(2 * size - 2, 1)) - (size - 1)).abs()
        case "reflect":  # about the outer edges of the border values
            return ((2 * place + 1 + 2 * size).remainder(4 * size) - 2 * size).abs().sub(1).floor_divide(2)
        case _:
            return place.clamp(0, size - 1)
