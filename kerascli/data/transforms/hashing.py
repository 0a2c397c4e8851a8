"""Transforms `hashing` and `hashed_crossing`: hash strings or integers to bin indices, without a vocabulary."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import NO_STATE, Field, FittedState, Link, NotExportable, Transform, transform
from kerascli.data.transforms.input_checks import need_integers
from kerascli.preprocessing.categories import Encoded, encoded_shape, vector_dtype
from kerascli.preprocessing.hashing import buckets, decimals, fingerprints
from kerascli.preprocessing.hashing_modules import (
    HashBins,
    HashedCrossingModule,
    HashedCrossingSettings,
    HashingSettings,
)

if TYPE_CHECKING:
    import pyarrow as pa


@transform()
class Hashing(HashingSettings, Transform):
    """Hashes strings or integers into `num_bins` bins, with the same bin index as keras.layers.Hashing.

    Different values may collide in one bin.
    """

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if not field.is_text:
            need_integers(field)
        if (
            self.mask_value is not None
            and field.dtype != "unknown"
            and isinstance(self.mask_value, str) != field.is_text
        ):
            raise ValueError(f"mask_value {self.mask_value!r} does not match dtype {field.dtype}")
        shape, dtype = encoded_shape(field.shape, self.output_mode, self.num_bins), vector_dtype(self.output_mode)
        return replace(field, shape=shape, dtype=dtype, vocabulary_size=self.num_bins, num_classes=None, classes=None)

    def codes(self, values: "pa.Array | Tensor", state: FittedState, *, target: bool) -> Tensor:
        if isinstance(values, Tensor) and values.dtype != torch.uint64:
            return HashBins(self)(values)
        masks, distinct = int(self.mask_value is not None), np.asarray(values.tolist(), object)
        texts = decimals(distinct) if isinstance(values, Tensor) else [word.encode() for word in distinct]
        bins = buckets(texts, self.num_bins - masks, self.salt) + masks
        if masks:
            bins[distinct == self.mask_value] = 0
        return torch.from_numpy(bins)

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return Encoded(self.output_mode, self.num_bins, getattr(torch, vector_dtype(self.output_mode)))

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        way = "a string_lookup or integer_lookup keeps its table in the file"
        raise NotExportable(f"ONNX has no operations to hash by FarmHash or SipHash: {way}")


class Fingerprint(Transform):
    """Transform of a column to integers that are hashed together: strings to 64-bit hashes, integers unchanged."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        return Field((), "int64")

    def codes(self, values: "pa.Array | Tensor", state: FittedState, *, target: bool) -> Tensor:
        if isinstance(values, Tensor):
            return values.long()
        return torch.from_numpy(fingerprints([word.encode() for word in values.to_pylist()]).view(np.int64))

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return nn.Flatten(0)

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        way = "a string_lookup of a column with both values keeps its table in the file"
        raise NotExportable(f"ONNX has no operations to hash by FarmHash: {way}")


@transform()
class HashedCrossing(HashedCrossingSettings, Transform):
    """Crosses columns of strings or integers: hashes the values of a row together into `num_bins` bins.

    The bin index is the same as that of keras.layers.HashedCrossing. Comes first, after a list of `columns`.
    """

    takes_columns = True

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if len(field.columns) < 2:
            raise ValueError("needs at least two columns, and must be first: [{columns: [a, b]}, hashed_crossing]")
        for name, column in field.columns:
            if not column.is_text and not column.is_integer:
                raise ValueError(f"needs strings or integers; column '{name}' holds {column.dtype}")
            if column.shape not in ((), (1,)):
                raise ValueError(f"needs one value per row; column '{name}' has shape {column.shape}")
        shape, dtype = encoded_shape((), self.output_mode, self.num_bins), vector_dtype(self.output_mode)
        return replace(field, shape=shape, dtype=dtype, vocabulary_size=self.num_bins, columns=())

    def chains(self, field: Field, state: FittedState | None) -> Mapping[str, Sequence[Link]]:
        hashed = Field((), "int64")
        return {name: [Link(Fingerprint(), column, hashed, NO_STATE)] for name, column in field.columns}

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return HashedCrossingModule(self, torch.uint8)
