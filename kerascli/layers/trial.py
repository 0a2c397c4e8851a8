"""Trial runs of modules on the meta device, which computes no values: their results have the shapes of real ones."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kerascli.foundation.shapes import Shape, TensorSpec
from kerascli.layers.base import ShapeMismatch

BATCH_SIZES = (2, 3)
"""Numbers of samples in two runs of a module."""
_UNKNOWN_SIZES = (720, 2160)
"""Sizes of each unknown dimension in two runs of a module: if an output's dimension differs between the runs, it is
unknown, too.

They are far apart, so that strides do not map both to one size, and have many divisors, so that they can be reshaped.
"""
_UNKNOWN_STEPS = (96, 288)
"""Sizes of an unknown number of time steps in two runs of a module: small ones, because recurrent layers loop over the
steps."""
MIXED = "mixes the samples of a batch: the first axis of its output is not the batch axis"
"""Message for a module whose result has no batch axis."""
_MOST_VALUES = 2**53
"""Maximum number of values of an output per sample; beyond it torch cannot count the bytes of a batch."""


def unknown_sizes(inputs: Sequence[TensorSpec]) -> tuple[int, int]:
    """Return the sizes of each unknown dimension of inputs in two runs of a module."""
    return _UNKNOWN_SIZES if any(spec.rank > 2 for spec in inputs) else _UNKNOWN_STEPS


def stand_in(spec: TensorSpec, batch: int, unknown: int) -> Tensor:
    """Return a tensor of `batch` samples on the meta device; unknown dimensions have size `unknown`."""
    sizes = [unknown if size is None else size for size in spec.shape]
    if math.prod(sizes) > _MOST_VALUES:
        raise ShapeMismatch(f"needs tensors that fit into memory, got {spec}")
    dtype = getattr(torch, spec.dtype) if spec.is_integer else torch.get_default_dtype()
    return torch.empty((batch, *sizes) if spec.batched else sizes, dtype=dtype, device="meta")


def compared(first: Tensor, second: Tensor, *, may_lack_batch: bool = False) -> TensorSpec:
    """Return the spec of a result from its tensors in two runs with BATCH_SIZES samples. Raises ShapeMismatch."""
    shape: Shape = tuple(a if a == b else None for a, b in zip(first.shape, second.shape, strict=True))
    if first.dim() and (first.shape[0], second.shape[0]) == BATCH_SIZES:
        return TensorSpec(shape[1:], dtype_name(first.dtype))
    if not may_lack_batch:
        raise ShapeMismatch(MIXED)
    return TensorSpec(shape, dtype_name(first.dtype), batched=False)


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype in a TensorSpec."""
    return str(dtype).removeprefix("torch.")
