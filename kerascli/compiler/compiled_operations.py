"""Decompositions for compiled graphs on the CPU, and operations that stay, where torch's compiler would be slower.

It writes pooling into each loop that reads its result, adds up the rows of a matrix 16 columns at a time, reading all
rows from memory for each, copies images before a convolution, and copies a bias to all rows before it adds a product
to them.
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


COMPILED: Decompositions = {
    aten.addmm.default: _addmm,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_batch_norm_backward.default: _batch_norm_gradients,
}
"""Decompositions in compiled graphs for the CPU."""
CALLED = (
    aten.convolution.default, aten.convolution_backward.default,
    aten.max_pool2d_with_indices.default, aten.max_pool2d_with_indices_backward.default,
)  # fmt: skip
"""Operations that compiled code calls as traced graphs do, on tensors with the same strides."""
