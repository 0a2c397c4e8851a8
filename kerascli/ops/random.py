"""Operations that draw random tensors, in training and also in inference.

The numbers are keyed, so that a resumed run draws the same ones.
"""

import math

import torch
from torch import Tensor

from kerascli.foundation import draws
from kerascli.ops.base import ArgumentError, Sizes, Value, dtype_of, op


def _like(shape: int | Sizes, dtype: str | None, device: torch.device) -> Tensor:
    """Return a tensor that takes no memory, from which random tensors get their shape, dtype and device."""
    sizes = [shape] if isinstance(shape, int) else list(shape)
    return torch.empty((), dtype=dtype_of(dtype), device=device).expand(sizes)


@op()
def random_normal(
    shape: int | Sizes, mean: Value = 0.0, stddev: Value = 1.0, dtype: str | None = None, *, device: torch.device
) -> Tensor:
    """Draw normally distributed numbers; the shape includes the batch axis, as in random_normal(shape(x))."""
    return draws.normal(_like(shape, dtype, device)) * stddev + mean


@op()
def random_truncated_normal(
    shape: int | Sizes, mean: Value = 0.0, stddev: Value = 1.0, dtype: str | None = None, *, device: torch.device
) -> Tensor:
    """Draw normally distributed numbers truncated to two standard deviations from the mean."""
    edge = math.erf(2 / math.sqrt(2))
    inner = draws.uniform(_like(shape, dtype, device), -edge, edge)
    return inner.erfinv() * math.sqrt(2) * stddev + mean


@op()
def random_uniform(
    shape: int | Sizes, minval: Value = 0.0, maxval: Value = 1.0, dtype: str | None = None, *, device: torch.device
) -> Tensor:
    """Draw uniformly distributed numbers from minval to maxval, exclusive."""
    return draws.uniform(_like(shape, dtype, device)) * (maxval - minval) + minval


@op()
def random_randint(
    shape: int | Sizes, minval: int, maxval: int, dtype: str = "int32", *, device: torch.device
) -> Tensor:
    """Draw uniformly distributed integers from minval to maxval - 1."""
    if maxval <= minval:
        raise ArgumentError(f"random_randint: expected minval below maxval, got {minval} and {maxval}")
    scaled = draws.uniform(_like(shape, None, device)) * (maxval - minval) + minval
    return scaled.floor().clamp(max=maxval - 1).to(dtype_of(dtype))


@op()
def random_bernoulli(shape: int | Sizes, p: Value = 0.5, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Draw 1 with probability p, else 0."""
    like = _like(shape, dtype, device)
    if isinstance(p, Tensor):
        return (draws.uniform(like) < p).to(like.dtype)
    if not 0 <= p <= 1:
        raise ArgumentError(f"random_bernoulli: p: expected a number from 0 to 1, got {p}")
    return draws.bernoulli(like, float(p))


@op()
def random_categorical(logits: Tensor, num_samples: int, dtype: str = "int32") -> Tensor:
    """Draw class indices (N, num_samples) with the probabilities softmax(logits), logits of shape (N, classes)."""
    noise = draws.uniform(logits.unsqueeze(-2).expand(*logits.shape[:-1], num_samples, logits.shape[-1]))
    gumbel = -(-noise.clamp(min=torch.finfo(noise.dtype).tiny).log()).log()
    return (logits.unsqueeze(-2) + gumbel).argmax(-1).to(dtype_of(dtype))


@op()
def random_dropout(inputs: Tensor, rate: float) -> Tensor:
    """Set elements to 0 with probability `rate` and scale the others by 1 / (1 - rate); in inference, too."""
    if not 0 <= rate < 1:
        raise ArgumentError(f"random_dropout: rate: expected a number from 0 below 1, got {rate}")
    return inputs * draws.bernoulli(inputs, 1 - rate) / (1 - rate)
