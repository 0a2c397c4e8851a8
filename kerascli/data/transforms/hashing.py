"""Hashing: words or whole numbers to numbers of bins, without a vocabulary."""

from dataclasses import replace
from typing import Self

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Field, Learned, Transform, transform
from kerascli.data.transforms.fitting import need_integers
from kerascli.preprocessing.categories import Dense, OutputMode, encode, encoded_shape
from kerascli.preprocessing.hashing import Salt, buckets, decimals
from kerascli.shapes import PositiveInt


@transform()
class Hashing(Transform):
    """Replaces words and whole numbers by hashes of them, Keras's numbers; different words may share one."""

    num_bins: PositiveInt
    """How many numbers there are, that of the mask included."""
    mask_value: int | str | None = None
    """What becomes 0, which nothing else then becomes."""
    salt: Salt | None = None
    """Hash by SipHash with this key (two numbers, or one that is both); null: by FarmHash."""
    output_mode: OutputMode = "int"
    sparse: Dense = False

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.mask_value is not None and self.num_bins < 2:
            raise ValueError("num_bins: with a mask_value expected at least 2")
        return self

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        if not field.is_text:
            need_integers(field)
        if (
            self.mask_value is not None
            and field.dtype != "unknown"
            and isinstance(self.mask_value, str) != field.is_text
        ):
            raise ValueError(f"mask_value {self.mask_value!r} does not go with {field.dtype}")
        dtype = {"int": "int64", "count": "float32"}.get(self.output_mode, "uint8")
        shape = encoded_shape(field.shape, self.output_mode, self.num_bins)
        return replace(field, shape=shape, dtype=dtype, vocabulary_size=self.num_bins, num_classes=None, classes=None)

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        found, inverse = np.unique(values, return_inverse=True)
        masks = int(self.mask_value is not None)
        bins = buckets(as_bytes(found), self.num_bins - masks, self.salt) + masks
        if masks:
            bins[found == self.mask_value] = 0
        return encode(bins[inverse].reshape(values.shape), self.output_mode, self.num_bins)


def as_bytes(values: np.ndarray) -> list[bytes]:
    """Words, or whole numbers in decimals, as they are hashed."""
    return [word.encode() for word in values.tolist()] if values.dtype == object else decimals(values)
