"""Encode category ids as indices, one-hot, multi-hot or count vectors, for all layers and transforms that do so."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from kerascli.foundation.shapes import Shape

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


def encode_tensor(
    indices: Tensor, mode: str, size: int, dtype: torch.dtype, weights: Tensor | None = None
) -> Tensor:  # (N, *) -> (N, *) or (N, *, size)
    """Encode category ids as indices or, in `dtype`, as vectors; each id adds its weight (None: 1) to the counts.

    Ids outside of 0 to size - 1 are dropped. The last axis holds the ids of one sample; without one, a sample is one
    id.
    """
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


class Encoded(nn.Module):
    """Module that encodes category ids in an output mode; its vectors have `dtype` (None: the model's).

    In mode tf_idf counts are multiplied by `weights`, one for each index.
    """

    def __init__(
        self, mode: str, size: int, dtype: torch.dtype | None = None, weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.mode, self.size, self.dtype, self.weights = mode, size, dtype, weights

    def forward(self, x: Tensor, count_weights: Tensor | None = None) -> Tensor:  # (N, *) -> (N, *) or (N, *, size)
        dtype = self.dtype or torch.get_default_dtype()
        if self.weights is None:
            return encode_tensor(x, self.mode, self.size, dtype, count_weights)
        counts = encode_tensor(x, "count", self.size, dtype)
        return counts * torch.tensor(self.weights, dtype=dtype, device=x.device)


def vector_dtype(mode: str) -> str:
    """Return the dtype of category ids encoded by a transform: bytes for vectors of zeros and ones."""
    return {"int": "int64", "one_hot": "uint8", "multi_hot": "uint8"}.get(mode, "float32")
