"""What mixes the samples of a training batch, one a file; and the numbers that they share."""

import torch
from torch import Tensor

from kerascli import draws
from kerascli.preprocessing.images.gamma import log_gamma_numbers


def order_of(like: Tensor) -> Tensor:
    """A random order of the samples (N,)."""
    return torch.argsort(draws.uniform(like.new_empty(like.shape[0])))


def beta_numbers(like: Tensor, alpha: float | Tensor) -> Tensor:
    """A number of the beta(alpha, alpha) distribution for each sample (N,)."""
    first, second = log_gamma_numbers(like.new_empty((2, like.shape[0])), alpha).unbind()
    return torch.sigmoid(first - second)


def blended(x: Tensor, order: Tensor, weight: Tensor) -> Tensor:
    """Samples (N, *), each with its weight (N,) and the rest from another one."""
    weight = weight.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))
    return weight * x + (1.0 - weight) * x.index_select(0, order)
