"""Encode category ids as indices, one-hot, multi-hot or count vectors, for all layers and transforms that do so."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from kerascli.foundation.shapes import PositiveInt, Shape
from kerascli.language.component import Component

ENCODED = Field(description="int: indices; one_hot, or multi_hot, count, tf_idf over all values of a sample: vectors.")
"""Description of the setting `output_mode`, the same for all components that have it, whichever modes they have."""
OutputMode = Annotated[Literal["int", "one_hot", "multi_hot", "count"], ENCODED]


def _dense(sparse: bool) -> bool:
    if sparse:
        raise ValueError("sparse tensors are not supported; expected false")
    return sparse


Dense = Annotated[
    bool, AfterValidator(_dense), Field(description="Only false is possible: sparse tensors are not supported.")
]
"""Type of Keras's setting `sparse`; only false is allowed, since Keras supports it on TensorFlow alone."""


def encoded_shape(shape: Shape, mode: str, size: int | None) -> Shape:
    """Return the shape of encoded category ids, given the shape of the ids; neither includes the batch axis."""
    if mode == "int":
        return shape
    leading = shape[:-1] if mode != "one_hot" or shape[-1:] == (1,) else shape
    return (*leading, size)


def encode(indices: np.ndarray, mode: str, size: int) -> np.ndarray:
    """Encode category ids (N, *) as (N, *) or (N, *, size): vectors in uint8, counts in float32.

    Ids outside of 0 to size - 1 are dropped. The last axis holds the ids of one sample; without one, a sample is one
    id.
    """
    if mode == "int":
        return indices
    dtype = torch.float32 if mode == "count" else torch.uint8
    encoded = encode_tensor(torch.from_numpy(np.ascontiguousarray(indices)), mode, size, dtype)
    return encoded.contiguous().numpy()


def tally(indices: np.ndarray, owners: np.ndarray, samples: int, mode: str, size: int) -> np.ndarray:
    """Encode flat category ids (M,) as vectors (samples, size); `owners` (M,) is the index of each id's sample."""
    there = (indices >= 0) & (indices < size)
    cells = owners[there] * size + indices[there]
    out = np.zeros(samples * size, np.uint8 if mode == "multi_hot" else np.float32)
    if mode == "multi_hot":
        out[cells] = 1
    else:
        np.add.at(out, cells, np.float32(1))
    return out.reshape(samples, size)


def encode_tensor(
    indices: Tensor, mode: str, size: int, dtype: torch.dtype, weights: Tensor | None = None
) -> Tensor:  # (N, *) -> (N, *) or (N, *, size)
    """Encode a tensor of category ids as `encode` does, in `dtype`; each id adds its weight (None: 1) to the counts."""
    if mode == "int":
        return indices
    indices = indices.long()
    if mode == "one_hot":
        indices = indices.squeeze(-1) if indices.ndim > 1 and indices.shape[-1] == 1 else indices
        return (indices.unsqueeze(-1) == torch.arange(size, device=indices.device)).to(dtype)
    indices = indices.unsqueeze(-1) if indices.ndim == 1 else indices
    outside = (indices < 0) | (indices >= size)
    cells = torch.where(outside, size, indices)
    out = torch.zeros(*indices.shape[:-1], size + 1, dtype=dtype, device=indices.device)
    if mode == "multi_hot":
        return out.scatter(-1, cells, 1.0)[..., :size]
    ones = torch.ones_like(indices, dtype=dtype) if weights is None else weights.to(dtype).reshape(indices.shape)
    return out.scatter_add(-1, cells, ones)[..., :size]


class CategoryEncodingSettings(Component):
    """Settings that the layer and the transform `category_encoding` share."""

    num_tokens: PositiveInt
    """Number of categories; ids are 0 to num_tokens - 1."""
    output_mode: Annotated[Literal["one_hot", "multi_hot", "count"], ENCODED] = "multi_hot"
    sparse: Dense = False


class CategoryEncodingModule(nn.Module):
    """Module that encodes category ids, for the layer and the transform; its output has `dtype` (None: the model's)."""

    def __init__(self, settings: CategoryEncodingSettings, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.size, self.mode, self.dtype = settings.num_tokens, settings.output_mode, dtype

    def forward(self, x: Tensor, count_weights: Tensor | None = None) -> Tensor:  # (N, *) -> (N, *, num_tokens)
        return encode_tensor(x, self.mode, self.size, self.dtype or torch.get_default_dtype(), count_weights)
