"""Augmentations that mix the samples of a training batch (CutMix, MixUp), and the functions that they share."""

import torch
from torch import Tensor

from kerascli.foundation import draws
from kerascli.preprocessing.images.policies import log_gamma_numbers


def order_of(like: Tensor) -> Tensor:
    """Draw a random permutation (N,) of the row indices of the batch `like`, on its device."""
    return torch.argsort(draws.uniform(like.new_empty(like.shape[0])))


def beta_numbers(like: Tensor, alpha: float | Tensor) -> Tensor:
    """Draw a number from the Beta(alpha, alpha) distribution for each of the N samples in `like`; return them (N,)."""
    first, second = log_gamma_numbers(like.new_empty((2, like.shape[0])), alpha).unbind()
    return torch.sigmoid(first - second)


def blended(x: Tensor, order: Tensor, weight: Tensor) -> Tensor:
    """Blend each sample x[i] with x[order[i]]: `weight * x + (1 - weight) * x[order]`; order and weight are (N,)."""
    weight = weight.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))
    return weight * x + (1.0 - weight) * x.index_select(0, order)
