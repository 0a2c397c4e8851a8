"""Decompositions and operators for compiled graphs on the CPU, where torch's compiler would make a graph slower.

It writes pooling into each loop that reads its result, adds up the rows of a matrix 16 columns at a time, reading all
rows from memory for each, near convolutions copies tensors whose last axis are channels, and copies a bias to all rows
before it adds a product to them.
"""

from typing import Any

import torch
from torch import Tensor

from kerascli.compiler.decompositions import Decompositions, channels_first, channels_last
from kerascli.compiler.onednn_matmul import onednn_is_faster

aten = torch.ops.aten

_BLOCK = 32
"""Maximum number of rows that are added up at once; the sums of such blocks are added up then."""


def _addmm(bias: Tensor, x: Tensor, weight: Tensor, **scales: Any) -> Any:
    """Add the bias in the loop that reads the product, which oneDNN has a bias for; a sum of a product itself would be
    made an `addmm` again."""
    if scales or bias.ndim > 1 or onednn_is_faster():
        return NotImplemented
    return (torch.mm(x, weight).unsqueeze(0) + bias).squeeze(0)


def _batch_norm(
    x: Tensor, gamma: Any, beta: Any, mean: Any, variance: Any, trains: bool, rate: float, epsilon: float
) -> Any:
    if not trains or mean is None or gamma is None or beta is None or (blocks := _blocks(x)) is None:
        return NotImplemented
    count = x.numel() // x.shape[1]
    center = _total(blocks) / count
    spread = _total((blocks - center).square()) / count
    inverse = torch.rsqrt(spread + epsilon)
    mean.lerp_(center, rate)
    variance.lerp_(spread * (count / (count - 1)), rate)
    return _like(x, (blocks - center) * (gamma * inverse) + beta), center, inverse


def _batch_norm_gradients(
    gradient: Tensor, x: Tensor, gamma: Any, _: Any, __: Any, center: Any, inverse: Any, trains: bool, *rest: Any
) -> Any:
    if not trains or gamma is None or not all(rest[-1]) or (blocks := _blocks(x)) is None:
        return NotImplemented
    count = x.numel() // x.shape[1]
    gradients = channels_last(gradient).reshape(blocks.shape)
    of_beta, of_gamma = _total(gradients), _total(gradients * (blocks - center)) * inverse
    along = (blocks - center) * (of_gamma * inverse / count)
    return _like(x, (gradients - of_beta / count - along) * (gamma * inverse)), of_gamma, of_beta


def _blocks(x: Tensor) -> Tensor | None:  # (N, C, *) -> (blocks, rows, C)
    rows = _block(x.numel() // x.shape[1])
    return channels_last(x).reshape(-1, rows, x.shape[1]) if rows > 4 and x.dtype == torch.float32 else None


def _block(count: int) -> int:
    return max(rows for rows in range(1, _BLOCK + 1) if count % rows == 0)


def _total(blocks: Tensor) -> Tensor:  # (blocks, rows, C) -> (C)
    sums = blocks.sum(1)
    while (rows := _block(len(sums))) > 1:
        sums = sums.view(-1, rows, sums.shape[1]).sum(1)
    return sums.sum(0)


def _like(x: Tensor, blocks: Tensor) -> Tensor:
    return channels_first(blocks.view(len(x), *x.shape[2:], x.shape[1]))


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
    return _last(aten.convolution.default(channels_first(x), weight, bias, *settings))


def _input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, *settings: Any) -> Tensor:
    arguments = channels_first(gradient), channels_first(x), weight, [0], *settings, [True, False, False]
    return _last(aten.convolution_backward.default(*arguments)[0])


def _kernel_gradient(gradient: Tensor, x: Tensor, weight: Tensor, *settings: Any) -> Tensor:
    arguments = channels_first(gradient), channels_first(x), weight, [0], *settings, [False, True, False]
    return aten.convolution_backward.default(*arguments)[1]


def _max_pool(x: Tensor, *settings: Any) -> tuple[Tensor, Tensor]:
    y, places = aten.max_pool2d_with_indices.default(channels_first(x), *settings)
    return _last(y), _last(places)


def _max_pool_gradient(gradient: Tensor, x: Tensor, places: Tensor, *settings: Any) -> Tensor:
    arguments = channels_first(gradient), channels_first(x), *settings, channels_first(places)
    return _last(aten.max_pool2d_with_indices_backward.default(*arguments))


def _last(x: Tensor) -> Tensor:
    return channels_last(x).contiguous()


_KERNEL = "int[] stride, int[] padding, int[] dilation, bool transposed, int[] output_padding, int groups"
_WINDOW = "int[] size, int[] stride, int[] padding, int[] dilation, bool ceil_mode"
_LIBRARY = torch.library.Library("kerascli", "FRAGMENT")
"""Operators that torch's compiler calls as they are, on images (N, H, W, C)."""
for _operator, _form in (
    (_convolve, f"(Tensor x, Tensor weight, Tensor? bias, {_KERNEL}) -> Tensor"),
    (_input_gradient, f"(Tensor gradient, Tensor x, Tensor weight, {_KERNEL}) -> Tensor"),
    (_kernel_gradient, f"(Tensor gradient, Tensor x, Tensor weight, {_KERNEL}) -> Tensor"),
    (_max_pool, f"(Tensor x, {_WINDOW}) -> (Tensor, Tensor)"),
    (_max_pool_gradient, f"(Tensor gradient, Tensor x, Tensor places, {_WINDOW}) -> Tensor"),
):
    _name = _operator.__name__.removeprefix("_")
    _LIBRARY.define(_name + _form)
    _LIBRARY.impl(_name, _operator, "CPU")
    torch.library.register_fake(f"kerascli::{_name}", _operator, lib=_LIBRARY)
_operators = torch.ops.kerascli


def _convolution(x: Tensor, *rest: Any) -> Any:
    return channels_first(_operators.convolve(channels_last(x), *rest)) if _has_last(x) else NotImplemented


def _convolution_gradients(gradient: Tensor, x: Tensor, weight: Tensor, _: Any, *settings: Any) -> Any:
    *kernel, (wants_x, wants_weight, wants_bias) = settings
    if wants_bias or not _has_last(x):
        return NotImplemented
    arguments = channels_last(gradient), channels_last(x), weight, *kernel
    of_x = channels_first(_operators.input_gradient(*arguments)) if wants_x else None
    return of_x, _operators.kernel_gradient(*arguments) if wants_weight else None, None


def _pool(x: Tensor, size: Any, stride: Any = (), padding: Any = (0, 0), dilation: Any = (1, 1), *ceil: Any) -> Any:
    if not _has_last(x):
        return NotImplemented
    y, places = _operators.max_pool(channels_last(x), size, stride or size, padding, dilation, *(ceil or [False]))
    return channels_first(y), channels_first(places)


def _pool_gradient(gradient: Tensor, x: Tensor, *rest: Any) -> Any:
    if not _has_last(x):
        return NotImplemented
    size, stride, *settings, places = rest
    images = map(channels_last, (gradient, x, places))
    return channels_first(_operators.max_pool_gradient(*images, size, stride or size, *settings))


def _has_last(x: Tensor) -> bool:
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)


COMPILED: Decompositions = {
    aten.addmm.default: _addmm,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_batch_norm_backward.default: _batch_norm_gradients,
    aten.convolution.default: _convolution,
    aten.convolution_backward.default: _convolution_gradients,
    aten.max_pool2d_with_indices.default: _pool,
    aten.max_pool2d_with_indices_backward.default: _pool_gradient,
}
"""Decompositions in compiled graphs for the CPU."""
