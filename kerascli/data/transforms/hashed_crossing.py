"""Transform `hashed_crossing`: hash the values of several columns of a row together."""

from dataclasses import replace

import numpy as np

from kerascli.data.base import Field, Learned, Transform, transform
from kerascli.data.storage.blocks import inverse_of
from kerascli.data.transforms.hashing import as_bytes
from kerascli.preprocessing.categories import encode, encoded_shape
from kerascli.preprocessing.hashing import crossed, fingerprints
from kerascli.preprocessing.hashing_modules import HashedCrossingSettings


@transform()
class HashedCrossing(HashedCrossingSettings, Transform):
    """Crosses columns of strings or integers: hashes the values of a row together into `num_bins` bins.

    The bin index is the same as that of keras.layers.HashedCrossing. Comes first, after a list of `columns`.
    """

    takes_columns = True

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
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

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        columns = [to_cross(values[name].reshape(len(values))) for name, _ in field.columns]
        return encode(crossed(columns, self.num_bins), self.output_mode, self.num_bins)


def to_cross(column: np.ndarray) -> np.ndarray:
    """Return a column as integers for crossing (N,): fingerprints (64-bit hashes) of strings, integers unchanged."""
    if column.dtype != object:
        return column.astype(np.int64)
    found, inverse = inverse_of(column)
    return fingerprints(as_bytes(found))[inverse]
