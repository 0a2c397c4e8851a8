"""Transforms `hashing` and `hashed_crossing`: hash strings or integers to bin indices, without a vocabulary."""

from dataclasses import replace

import numpy as np

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import inverse_of
from kerascli.data.transforms.input_checks import need_integers
from kerascli.preprocessing.categories import encode, encoded_shape
from kerascli.preprocessing.hashing import buckets, crossed, decimals, fingerprints
from kerascli.preprocessing.hashing_modules import HashedCrossingSettings, HashingSettings


@transform()
class Hashing(HashingSettings, Transform):
    """Hashes strings or integers into `num_bins` bins, with the same bin index as keras.layers.Hashing.

    Different values may collide in one bin.
    """

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        if not field.is_text:
            need_integers(field)
        if (
            self.mask_value is not None
            and field.dtype != "unknown"
            and isinstance(self.mask_value, str) != field.is_text
        ):
            raise ValueError(f"mask_value {self.mask_value!r} does not match dtype {field.dtype}")
        dtype = {"int": "int64", "count": "float32"}.get(self.output_mode, "uint8")
        shape = encoded_shape(field.shape, self.output_mode, self.num_bins)
        return replace(field, shape=shape, dtype=dtype, vocabulary_size=self.num_bins, num_classes=None, classes=None)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        distinct, inverse = inverse_of(values.reshape(-1))
        masks = int(self.mask_value is not None)
        bins = buckets(as_bytes(distinct), self.num_bins - masks, self.salt) + masks
        if masks:
            bins[distinct == self.mask_value] = 0
        return encode(bins[inverse].reshape(values.shape), self.output_mode, self.num_bins)


def as_bytes(values: np.ndarray) -> list[bytes]:
    """Return the byte strings to hash for a column: strings in UTF-8, integers in decimal notation."""
    return [word.encode() for word in values.tolist()] if values.dtype == object else decimals(values)


@transform()
class HashedCrossing(HashedCrossingSettings, Transform):
    """Crosses columns of strings or integers: hashes the values of a row together into `num_bins` bins.

    The bin index is the same as that of keras.layers.HashedCrossing. Comes first, after a list of `columns`.
    """

    takes_columns = True

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        if len(field.columns) < 2:
            raise ValueError("needs at least two columns, and must be first: [{columns: [a, b]}, hashed_crossing]")
        for name, column in field.columns:
            if not column.is_text and not column.is_integer:
                raise ValueError(f"needs strings or integers; column '{name}' holds {column.dtype}")
            if column.shape not in ((), (1,)):
                raise ValueError(f"needs one value per row; column '{name}' has shape {column.shape}")
        dtype = "int64" if self.output_mode == "int" else "uint8"
        shape = encoded_shape((), self.output_mode, self.num_bins)
        return replace(field, shape=shape, dtype=dtype, vocabulary_size=self.num_bins, columns=())

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        columns = [to_cross(values[name].reshape(len(values))) for name, _ in field.columns]
        return encode(crossed(columns, self.num_bins), self.output_mode, self.num_bins)


def to_cross(column: np.ndarray) -> np.ndarray:
    """Return a column as integers for crossing (N,): fingerprints (64-bit hashes) of strings, integers unchanged."""
    if column.dtype != object:
        return column.astype(np.int64)
    distinct, inverse = inverse_of(column)
    return fingerprints(as_bytes(distinct))[inverse]
