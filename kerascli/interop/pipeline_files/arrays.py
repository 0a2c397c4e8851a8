"""Convert arrays to their form in a pipeline file (JSON): a list of numbers, or the numbers' bytes in base64."""

import base64
import binascii
import math

import numpy as np

from kerascli.interop.pipeline_files.document import ArrayText

_LISTED = 1000
"""Largest number of values of an array that is written as a readable list of numbers; larger arrays are written in
base64."""


def array_text(array: np.ndarray) -> ArrayText:
    """Return a NumPy array of numbers as a pipeline file stores it (as a list or in base64), without loss."""
    wide = array.astype({"f": "float64", "i": "int64", "u": "int64", "b": "int64"}[array.dtype.kind])
    array = array if array.dtype.name in {"float32", "float64", "int32", "int64"} else wide
    shape = list(array.shape)
    if array.size <= _LISTED and (array.dtype.kind == "i" or np.isfinite(array).all()):
        return ArrayText.model_validate({
            "dtype": array.dtype.name, "shape": shape, "values": array.reshape(-1).tolist()
        })  # fmt: skip
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    text = base64.b64encode(data).decode("ascii")
    return ArrayText.model_validate({"dtype": array.dtype.name, "shape": shape, "base64": text})


def array_of(text: ArrayText) -> np.ndarray:
    """Return the NumPy array that a pipeline file stores as a list or in base64. Raises ValueError unless numbers,
    shape and dtype fit."""
    dtype, count = np.dtype(text.dtype), math.prod(text.shape)
    found = _numbers(text, dtype)
    if len(found) != count:
        raise ValueError(f"expected {count:,} numbers for the shape {text.shape}, got {len(found):,}")
    return found.reshape(text.shape)


def _numbers(text: ArrayText, dtype: np.dtype) -> np.ndarray:
    if text.values is not None:
        if dtype.kind == "i" and not all(type(value) is int for value in text.values):
            raise ValueError(f"expected integers for {dtype}")
        try:
            return np.array(text.values, dtype)
        except OverflowError:
            raise ValueError(f"a number is too large for {dtype}") from None
    assert text.base64 is not None
    try:
        data = base64.b64decode(text.base64, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if len(data) % dtype.itemsize:
        raise ValueError(f"{len(data):,} bytes are no numbers of {dtype.itemsize} bytes")
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
