"""Augmentations that mix the samples of a training batch, one module for each; and their random numbers."""

import torch
from torch import Tensor

from kerascli import draws
from kerascli.preprocessing.images.gamma import log_gamma_numbers


def order_of(like: Tensor) -> Tensor:
    """Draw a random permutation of the samples (N,), on the device of `like`."""
    return torch.argsort(draws.uniform(like.new_empty(like.shape[0])))


def beta_numbers(like: Tensor, alpha: float | Tensor) -> Tensor:
    """Sample the Beta(alpha, alpha) distribution once for each sample (N,)."""
    first, second = log_gamma_numbers(like.new_empty((2, like.shape[0])), alpha).unbind()
    return torch.sigmoid(first - second)


def blended(x: Tensor, order: Tensor, weight: Tensor) -> Tensor:
    """Blend samples (N, *) with those at `order` (N,): `weight * x + (1 - weight) * x[order]`, weight (N,)."""
    weight = weight.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))
    return weight * x + (1.0 - weight) * x.index_select(0, order)
