"""Categories: their ids as indices, one-hot, multi-hot or count vectors, and the settings that all lookups share."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn

from kerascli.foundation.errors import safe_text
from kerascli.foundation.shapes import Floats, Shape
from kerascli.language.component import Component

ENCODED = Field(description="int: indices; one_hot, or multi_hot, count, tf_idf over all values of a sample: vectors.")
"""Description of the setting `output_mode`, the same for all components that have it, whichever modes they have."""
OutputMode = Annotated[Literal["int", "one_hot", "multi_hot", "count"], ENCODED]


def _dense(sparse: bool) -> bool:
    if sparse:
        raise ValueError("sparse tensors are not supported; expected false")
    return sparse


_ONLY_FALSE = Field(description="Only false is possible: sparse tensors are not supported.")
Dense = Annotated[bool, AfterValidator(_dense), _ONLY_FALSE]
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
    cells = torch.where((indices < 0) | (indices >= size), size, indices)
    out = torch.zeros(*indices.shape[:-1], size + 1, dtype=dtype, device=indices.device)
    if mode == "multi_hot":
        return out.scatter(-1, cells, 1.0)[..., :size]
    ones = torch.ones_like(indices, dtype=dtype) if weights is None else weights.to(dtype).reshape(indices.shape)
    return out.scatter_add(-1, cells, ones)[..., :size]


class Encoded(nn.Module):
    """Module that encodes category ids in an output mode; its vectors have `dtype` (None: the model's).

    In mode tf_idf counts are multiplied by `weights`, one for each of the first indices; the others count as 0.
    """

    def __init__(
        self, mode: str, size: int, dtype: torch.dtype | None = None, weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.mode, self.size, self.dtype = mode, size, dtype
        self.weights = None if weights is None else [*weights, *[0.0] * (size - len(weights))]

    def forward(self, x: Tensor, count_weights: Tensor | None = None) -> Tensor:  # (N, *) -> (N, *) or (N, *, size)
        dtype = self.dtype or torch.get_default_dtype()
        if self.weights is None:
            return encode_tensor(x, self.mode, self.size, dtype, count_weights)
        return encode_tensor(x, "count", self.size, dtype) * torch.tensor(self.weights, dtype=dtype, device=x.device)


def vector_dtype(mode: str) -> str:
    """Return the dtype of category ids encoded by a transform: bytes for vectors of zeros and ones."""
    return {"int": "int64", "one_hot": "uint8", "multi_hot": "uint8"}.get(mode, "float32")


OovPlaces = Annotated[int, Field(ge=0, le=2**20)]
"""Type of the number of out-of-vocabulary (OOV) indices; each counts as an entry of the vocabulary."""


MostTokens = Annotated[int, Field(ge=2, le=2**53)]
"""Type of the maximum size of a vocabulary, out-of-vocabulary (OOV) indices included."""


class LookupSettings(Component):
    """Settings that the lookups `integer_lookup` and `string_lookup` share."""

    max_tokens: MostTokens | None = None
    """Maximum size of the vocabulary, out-of-vocabulary (OOV) indices included; null: no limit."""
    num_oov_indices: OovPlaces | None = None
    """Number of out-of-vocabulary (OOV) indices; null: 1 in inputs, 0 in targets."""
    mask_token: Any = None
    """Value that counts as missing: it gets index 0 with output_mode int, else it is dropped. null: no such value."""
    oov_token: Any = None
    """Value that `invert` returns for out-of-vocabulary (OOV) indices; it is never learned as an entry."""
    vocabulary: Any = None
    """Vocabulary entries, or a text file with one per line; null: learned. Leading mask and OOV tokens are removed."""
    idf_weights: Floats | None = None
    """Weights of the given vocabulary's entries, by which counts are multiplied in output_mode tf_idf."""
    invert: bool = False
    """Map indices back to the vocabulary's entries."""
    output_mode: Annotated[Literal["int", "one_hot", "multi_hot", "count", "tf_idf"], ENCODED] = "int"
    pad_to_max_tokens: bool = False
    """Make vectors `max_tokens` long even if the vocabulary is smaller."""
    sparse: Dense = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise ValueError("pad_to_max_tokens needs 'max_tokens'")
        if self.invert and self.output_mode != "int":
            raise ValueError(f"'invert' needs output_mode int, got {self.output_mode}")
        if self.invert and self.vocabulary is None:
            raise ValueError("'invert' needs a 'vocabulary'")
        if self.idf_weights is not None and self.output_mode != "tf_idf":
            raise ValueError(f"'idf_weights' needs output_mode tf_idf, got {self.output_mode}")
        if self.output_mode == "tf_idf" and (self.idf_weights is None) != (self.vocabulary is None):
            raise ValueError("in output_mode tf_idf give 'vocabulary' and 'idf_weights' both, or neither")
        if isinstance(self.vocabulary, tuple):
            self.check_entries(self.entries(self.vocabulary))
        return self

    def check_entries(self, entries: Sequence[Any]) -> None:
        """Raise ValueError if a vocabulary is empty, has an entry twice, or contains one of the special tokens."""
        if not entries:
            raise ValueError("vocabulary: expected at least one entry")
        twice, times = Counter(entries).most_common(1)[0]
        if times > 1:
            raise ValueError(f"vocabulary: '{safe_text(str(twice), 40)}' occurs more than once")
        for token in (self.mask_token, self.oov_token if self.invert else None):
            if token is not None and token in entries:
                raise ValueError(f"vocabulary: the special token '{safe_text(str(token), 40)}' is among the entries")

    def entries(self, written: Sequence[Any]) -> Sequence[Any]:
        """Return the config's vocabulary `written` without the mask and OOV tokens that it may begin with."""
        special = [*[self.mask_token] * self.masks(), *[self.oov_token] * self.places()]
        return written[len(special) :] if list(written[: len(special)]) == special else written

    def places(self, *, target: bool = False) -> int:
        """Return the number of OOV indices: if not set, 1 for inputs and 0 for targets."""
        if self.num_oov_indices is None:
            return 0 if target else 1
        return self.num_oov_indices

    def masks(self) -> int:
        """Return 1 if the mask token has its own index, else 0: in modes other than int, masked values are dropped."""
        return int(self.mask_token is not None and self.output_mode == "int")

    def first(self, *, target: bool = False) -> int:
        """Return the index of the first vocabulary entry, which follows the indices of the mask token and of OOV
        values."""
        return self.masks() + self.places(target=target)

    def inverted_entries(self, entries: Sequence[Any], nothing: Any) -> list[Any]:
        """Return the values that an inverted lookup maps indices to, in order of index; the last value is for invalid
        indices.

        `nothing` replaces a missing OOV token.
        """
        unknown = nothing if self.oov_token is None else self.oov_token
        mask = [] if self.mask_token is None else [self.mask_token]
        return [*mask, *[unknown] * self.places(), *entries, unknown]


UNKNOWN, DROPPED = -2, -1
"""Indices of an out-of-vocabulary integer where there is no OOV index, and of a mask token that has no index."""
