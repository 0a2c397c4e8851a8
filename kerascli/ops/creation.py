"""Operations that create a tensor from a shape, from numbers, at random, or like another tensor.

Random numbers are drawn in training and also in inference; they are keyed, so that a resumed run draws the same ones.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.signal import windows

from kerascli.foundation import draws
from kerascli.ops.base import Compute, Ints, Refusal, Value, common_dtype, dtype_of, op, table


def _sizes(shape: Ints) -> list[int]:
    return [shape] if isinstance(shape, int) else list(shape)


def _grid(N: int, M: int | None, device: torch.device) -> Tensor:
    """Return the number of the diagonal of each element of a matrix (N, M)."""
    return torch.arange(N if M is None else M, device=device) - torch.arange(N, device=device)[:, None]


def _window(function: Compute) -> Compute:
    def call(x: int, beta: float | None = None, *, device: torch.device) -> Tensor:
        named = {} if beta is None else {"beta": float(beta)}
        return function(x, **named, dtype=torch.get_default_dtype(), device=device)

    return call


def _float_dtype(dtype: torch.dtype | None) -> torch.dtype:
    return dtype or torch.get_default_dtype()


table({
    "zeros(shape: int | Sizes, dtype: str | None = None)": (
        lambda shape, dtype, device: torch.zeros(_sizes(shape), dtype=dtype, device=device),
        "Create a tensor of zeros; the shape includes the batch axis."),
    "ones(shape: int | Sizes, dtype: str | None = None)": (
        lambda shape, dtype, device: torch.ones(_sizes(shape), dtype=dtype, device=device),
        "Create a tensor of ones; the shape includes the batch axis."),
    "eye(N: int, M: int | None = None, k = 0, dtype: str | None = None)": (
        lambda N, M, k, dtype, device: (_grid(N, M, device) == k).to(_float_dtype(dtype)),
        "Create a matrix (N, M) with ones on the k-th diagonal."),
    "identity(n: int, dtype: str | None = None)": (lambda n, dtype, device: torch.eye(n, dtype=dtype, device=device),
        "Create the identity matrix (n, n)."),
    "tri(N: int, M: int | None = None, k = 0, dtype: str | None = None)": (
        lambda N, M, k, dtype, device: (_grid(N, M, device) <= k).to(_float_dtype(dtype)),
        "Create a matrix (N, M) with ones on and below the k-th diagonal."),
    "bartlett(x: int)": (_window(windows.bartlett), "Create the Bartlett (triangular) window of x samples."),
    "blackman(x: int)": (_window(windows.blackman), "Create the Blackman window of x samples."),
    "hamming(x: int)": (_window(windows.hamming), "Create the Hamming window of x samples."),
    "hanning(x: int)": (_window(windows.hann), "Create the Hann window of x samples."),
    "kaiser(x: int, beta: float)": (_window(windows.kaiser),
        "Create the Kaiser window of x samples; a larger beta gives a narrower window."),
}, makes=True)  # fmt: skip
table({
    "full(shape: int | Sizes, fill_value, dtype: str | None = None)": (
        lambda shape, fill_value, dtype, device: fill_value.to(dtype or fill_value.dtype).expand(_sizes(shape)),
        "Create a tensor filled with one value; the shape includes the batch axis."),
}, makes=True, keeps_integers=True)  # fmt: skip
table({
    "array|convert_to_tensor(x, dtype: str | None = None)": (lambda x, dtype: x.to(dtype or x.dtype),
        "Convert numbers, or nested lists of numbers, to a tensor."),
    "zeros_like(x, dtype: str | None = None)": (lambda x, dtype: torch.zeros_like(x, dtype=dtype),
        "Create a tensor of zeros with the shape of x."),
    "ones_like(x, dtype: str | None = None)": (lambda x, dtype: torch.ones_like(x, dtype=dtype),
        "Create a tensor of ones with the shape of x."),
    "full_like(x, fill_value, dtype: str | None = None)": (
        lambda x, fill_value, dtype: fill_value.to(dtype or common_dtype(x, fill_value)).expand_as(x),
        "Create a tensor filled with one value, with the shape of x."),
}, keeps_integers=True)  # fmt: skip


@op()
def arange(
    start: float, stop: float | None = None, step: float | None = None, dtype: str | None = None,
    *, device: torch.device,
) -> Tensor:  # fmt: skip
    """Create evenly spaced numbers from start to stop, exclusive; arange(n) starts at 0."""
    first, last = (0, start) if stop is None else (start, stop)
    whole = all(isinstance(n, int) for n in (first, last, step or 1))
    integers = torch.int32 if max(abs(first), abs(last)) < 2**31 else torch.int64
    kind = integers if dtype is None and whole else dtype_of(dtype)
    return torch.arange(first, last, 1 if step is None else step, dtype=kind, device=device)


def _linspace(start: float, stop: float, num: int, endpoint: bool, dtype: Any, device: torch.device) -> Tensor:
    last = stop if endpoint else stop - (stop - start) / max(num, 1)
    return torch.linspace(start, last, num, dtype=_float_dtype(dtype), device=device)


def _like(shape: Ints, dtype: torch.dtype | None, device: torch.device) -> Tensor:
    """Return a tensor that takes no memory, from which random tensors get their shape, dtype and device."""
    return torch.empty((), dtype=_float_dtype(dtype), device=device).expand(_sizes(shape))


def _truncated(like: Tensor) -> Tensor:
    edge = math.erf(2 / math.sqrt(2))
    return draws.uniform(like, -edge, edge).erfinv() * math.sqrt(2)


_SPACED = "start: float, stop: float, num = 50, endpoint = True"
_NORMAL = "(shape: int | Sizes, mean: Value = 0.0, stddev: Value = 1.0, dtype: str | None = None)"
table({
    f"linspace({_SPACED}, dtype: str | None = None)": (_linspace,
        "Create `num` evenly spaced numbers from start to stop, inclusive unless endpoint is false."),
    f"logspace({_SPACED}, base: float = 10, dtype: str | None = None)": (
        lambda a, b, num, endpoint, base, dtype, device: base ** _linspace(a, b, num, endpoint, dtype, device),
        "Create numbers evenly spaced on a log scale: base ** linspace(start, stop)."),
    f"geomspace({_SPACED}, dtype: str | None = None)": (
        lambda a, b, num, end, dtype, device: 10 ** _linspace(math.log10(a), math.log10(b), num, end, dtype, device),
        "Create `num` numbers from start to stop in geometric progression."),
    f"random_normal{_NORMAL}": (
        lambda shape, mean, stddev, dtype, device: draws.normal(_like(shape, dtype, device)) * stddev + mean,
        "Draw normally distributed numbers; the shape includes the batch axis, as in random_normal(shape(x))."),
    f"random_truncated_normal{_NORMAL}": (
        lambda shape, mean, stddev, dtype, device: _truncated(_like(shape, dtype, device)) * stddev + mean,
        "Draw normally distributed numbers truncated to two standard deviations from the mean."),
    "random_uniform(shape: int | Sizes, minval: Value = 0.0, maxval: Value = 1.0, dtype: str | None = None)": (
        lambda shape, low, high, dtype, device: draws.uniform(_like(shape, dtype, device)) * (high - low) + low,
        "Draw uniformly distributed numbers from minval to maxval, exclusive."),
}, makes=True)  # fmt: skip


@op()
def random_randint(shape: Ints, minval: int, maxval: int, dtype: str = "int32", *, device: torch.device) -> Tensor:
    """Draw uniformly distributed integers from minval to maxval - 1."""
    if maxval <= minval:
        raise Refusal(f"expected minval below maxval, got {minval} and {maxval}")
    scaled = draws.uniform(_like(shape, None, device)) * (maxval - minval) + minval
    return scaled.floor().clamp(max=maxval - 1).to(dtype_of(dtype))


@op()
def random_bernoulli(shape: Ints, p: Value = 0.5, dtype: str | None = None, *, device: torch.device) -> Tensor:
    """Draw 1 with probability p, else 0."""
    like = _like(shape, dtype_of(dtype), device)
    if isinstance(p, Tensor):
        return (draws.uniform(like) < p).to(like.dtype)
    if not 0 <= p <= 1:
        raise Refusal(f"p: expected a number from 0 to 1, got {p}")
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
        raise Refusal(f"rate: expected a number from 0 below 1, got {rate}")
    return inputs * draws.bernoulli(inputs, 1 - rate) / (1 - rate)
