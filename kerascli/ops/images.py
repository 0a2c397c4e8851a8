"""Functions that the image operations share, which compute on batches of images with channels first."""

from collections.abc import Callable

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError
from kerascli.preprocessing.images.base import saturated


def of_images(name: str, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `change`, (N, C, H, W) -> (N, C, *), to images (N, H, W, C) or (H, W, C); the result has their dtype."""
    if x.ndim not in (3, 4):
        raise ArgumentError(f"{name} needs images (batch, height, width, channels), got {x.ndim} axes")
    images = in_full(x) if x.ndim == 4 else in_full(x).unsqueeze(0)
    y = change(images.movedim(-1, 1)).movedim(1, 3)
    y = y if x.ndim == 4 else y.squeeze(0)
    return y.to(x.dtype) if x.is_floating_point() else saturated(y.round(), x.dtype)


def in_full(x: Tensor) -> Tensor:
    """Cast `x` to float32 unless it is float64: half precision is too coarse for coordinates, as are integers."""
    return x if x.dtype == torch.float64 else x.float()


def of_floats(name: str, x: Tensor, channels: int) -> None:
    """Raise ArgumentError unless `x` is a float tensor with the given number of channels."""
    if not x.is_floating_point():
        raise ArgumentError(f"{name} needs a float tensor; write cast(x, 'float32') / 255")
    if x.shape[-1] != channels:
        raise ArgumentError(f"{name} needs images of {channels} channels, got {x.shape[-1]}")


def one_of(name: str, key: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ArgumentError unless `value`, of an operation's argument `key`, is one of the values `known`."""
    if value not in known:
        words = ", ".join(f"'{word}'" for word in known)
        raise ArgumentError(f"{name}: {key}: expected one of {words}, got '{value}'", key)
