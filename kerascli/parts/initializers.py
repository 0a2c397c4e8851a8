"""Initializers: what a new weight is filled with (keras.initializers)."""

import math

import torch
from torch import Tensor

from kerascli.parts.base import INITIALIZERS, Initializer


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return torch.zeros(shape, dtype=dtype)


class GlorotUniform(Initializer):
    """Uniform within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""

    seed: int | None = None

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        fan_in, fan_out = fans(shape)
        limit = math.sqrt(6 / (fan_in + fan_out))
        return torch.empty(shape, dtype=dtype).uniform_(-limit, limit, generator=generator)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Fan in and fan out of a weight of Keras's shape (keras/src/initializers/random_initializers.py)."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    receptive = math.prod(shape[:-2])
    return shape[-2] * receptive, shape[-1] * receptive


INITIALIZERS.register(Zeros)
INITIALIZERS.register(GlorotUniform)
