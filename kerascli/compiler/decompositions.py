"""Operations that a CPU computes faster as several others: the same sums, in another order."""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kerascli.compiler.torch_private import OpOverload

aten = torch.ops.aten

Decompositions = Mapping[OpOverload, Callable[..., Any]]
"""Mapping from operation to a function that computes its result by others; where it is as fast itself, the function
returns NotImplemented."""


def _embedding_gradient(gradient: Tensor, indices: Tensor, words: int, padding: int, scales: bool) -> Any:
    """Add up rows by `scatter_add`, in half the time; in compiled graphs, too, rows are added in their order."""
    if padding >= 0 or scales:
        return NotImplemented
    rows = gradient.reshape(-1, gradient.shape[-1])
    return rows.new_zeros(words, rows.shape[1]).scatter_add_(0, indices.reshape(-1, 1).expand(rows.shape), rows)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Any:
    """Convolve with one filter: multiply all pixels by each position of its kernel, move the products and add them."""
    if not _has_one_filter(x, weight, *settings):
        return NotImplemented
    size = weight.shape[2:]
    planes = torch.mm(_rows(weight), _rows(x).t()).view(*size, len(x), *x.shape[2:])
    terms = _shifted(_padded(planes, settings[1]), len(size))
    total = functools.reduce(torch.add, [terms[position] for position in itertools.product(*map(range, size))])
    return (total if bias is None else total + bias).unsqueeze(1)


def _convolution_gradients(gradient: Tensor, x: Tensor, weight: Tensor, sizes: Any, *rest: Any) -> Any:
    """Compute a bias's gradient apart, and a transposed convolution's kernel as of the convolution that it transposes:
    oneDNN takes up to twice as long otherwise."""
    # the settings are stride, padding, dilation, transposed, output padding, groups
    *settings, (wants_x, wants_weight, wants_bias) = rest
    if gradient.dtype != torch.float32:
        return NotImplemented
    backward = aten.convolution_backward.default
    if wants_bias:
        of_x, of_weight, _ = backward(gradient, x, weight, sizes, *settings, [wants_x, wants_weight, False])
        return of_x, of_weight, gradient.sum([0, *range(2, x.ndim)])
    if settings[3] and wants_weight:
        of_x = backward(gradient, x, weight, sizes, *settings, [True, False, False])[0] if wants_x else None
        settings[3:5] = False, [0] * len(settings[4])
        return of_x, backward(x, gradient, weight, sizes, *settings, [False, True, False])[1], None
    if not _has_one_filter(x, weight, *settings):
        return NotImplemented
    _, channels, *size = weight.shape
    beside = [each - 1 - pad for each, pad in zip(size, settings[1], strict=True)]
    planes = _padded(gradient.squeeze(1), beside).contiguous()
    terms = _shifted(planes.expand(*size, *planes.shape), len(size)).reshape(math.prod(size), -1)
    axes = list(range(2, x.ndim))
    of_x = of_weight = None
    if wants_x:
        of_x = channels_first(torch.mm(terms.t(), _rows(weight.flip(axes))).view(len(x), *x.shape[2:], channels))
    if wants_weight:
        of_weight = channels_first(torch.mm(terms, _rows(x)).view(1, *size, channels)).flip(axes)
    return of_x, of_weight, None


def _has_one_filter(
    x: Tensor, weight: Tensor, stride: Any, _: Any, dilation: Any, transposed: bool, *rest: Any
) -> bool:
    """Return True for a convolution with one filter that is faster as a matrix product: oneDNN computes 16 at once."""
    if transposed or len(weight) > 1 or x.dtype != torch.float32 or {*stride, *dilation} != {1}:
        return False
    return math.prod(weight.shape[2:]) <= 2 * weight.shape[1]


def _padded(planes: Tensor, padding: Sequence[int]) -> Tensor:
    both = [each for each in reversed(padding) for _ in range(2)]
    return aten.constant_pad_nd.default(planes, both) if any(both) else planes


def _shifted(planes: Tensor, rank: int) -> Tensor:  # (*K, N, *S) -> (*K, N, *(S - K + 1))
    """Return a view of the planes for each position of a kernel in which each begins at that position."""
    stride, shape = planes.stride(), planes.shape
    moved = [one + other for one, other in zip(stride[:rank], stride[-rank:], strict=True)]
    sizes = [whole - window + 1 for whole, window in zip(shape[-rank:], shape[:rank], strict=True)]
    return planes.as_strided([*shape[: rank + 1], *sizes], [*moved, *stride[rank:]])


def _rows(x: Tensor) -> Tensor:  # (N, C, *) -> (N * *, C)
    return channels_last(x).reshape(-1, x.shape[1])


def channels_last(x: Tensor) -> Tensor:  # (N, C, *) -> (N, *, C)
    return x.permute(0, *range(2, x.ndim), 1)


def channels_first(x: Tensor) -> Tensor:  # (N, *, C) -> (N, C, *)
    return x.permute(0, -1, *range(1, x.ndim - 1))


TRACED: Decompositions = {
    aten.embedding_dense_backward.default: _embedding_gradient,
    aten.convolution.default: _convolution,
    aten.convolution_backward.default: _convolution_gradients,
}
"""Decompositions in all graphs for the CPU."""
