"""Convert numbers to another dtype, refusing values that it cannot represent."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.storage.table import BadRow, first_wrong

BEYOND_FLOATS = 2**53
"""Largest integer up to which float64 represents all integers exactly."""
IDS = "for ids use integer_lookup, hashing or an embedding; for times, rescaling or normalization to small numbers"


def converted(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert an array of numbers to `dtype`. Raises BadRow for the first value that it cannot represent.

    Floats accept all integers up to 2**53 (float32 rounds them, as any number), larger ones only if float64 represents
    them exactly: such integers are ids, not quantities.
    """
    if values.dtype == dtype:
        return values
    if dtype.kind == "b":
        _refuse(values, (values != 0) & (values != 1), "is neither 0 nor 1")
    if dtype.kind in "iu" and values.dtype.kind != "b":
        if values.dtype.kind == "f":
            _refuse(values, ~np.isfinite(values) | (values != np.trunc(values)), "is not an integer")
        limits = np.iinfo(dtype)
        with np.errstate(over="ignore"):  # these limits overflow float16
            outside = (values < limits.min) | (values >= limits.max + 1)  # int64's maximum becomes 2**63 as a float
        _refuse(values, outside, f"is outside {limits.min}..{limits.max} ({dtype})")
    if dtype.kind == "f" and values.dtype.kind in "iu" and (rounded := first_rounded(values)) is not None:
        row, at, value = rounded
        raise BadRow(row, f"{value} would be rounded: floats are exact for integers up to 2**53", at=at, hint=IDS)
    with np.errstate(over="ignore"):
        out = values.astype(dtype)
    if dtype.kind == "f" and values.dtype.kind == "f" and dtype.itemsize < values.dtype.itemsize:
        _refuse(values, np.isinf(out) & np.isfinite(values), f"is too large for {dtype}")
    return out


def as_records(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return arrays (rows, *) by name as one array of records (rows,), in which each row is contiguous."""
    dtype = np.dtype([(name, values.dtype, values.shape[1:]) for name, values in arrays.items()])
    records = np.empty(len(next(iter(arrays.values()))), dtype)
    for name, values in arrays.items():
        records[name] = values
    return records


def first_rounded(values: np.ndarray) -> tuple[int, tuple[int, int], int] | None:
    """Return (row, position in the row, value) of the first integer that float64 cannot represent exactly, or None.

    The position is as `BadRow.at`.
    """
    if values.dtype.itemsize < 8 or not values.size:
        return None
    if int(values.max()) <= BEYOND_FLOATS and int(values.min()) >= -BEYOND_FLOATS:
        return None
    flat = values.reshape(len(values), -1)
    bits = (flat if values.dtype.kind == "u" else np.abs(flat)).astype(np.uint64)
    lowest = np.where(bits == 0, np.uint64(1), bits & (~bits + np.uint64(1)))
    rounded = bits // lowest > BEYOND_FLOATS  # more than 53 bits between the highest and the lowest set bit
    if not rounded.any():
        return None
    row, at = first_wrong(rounded)
    return row, at, int(flat[row][at[0]])


def _refuse(values: np.ndarray, bad: np.ndarray, what: str) -> None:
    if not bad.any():
        return
    row, at = first_wrong(bad)
    value = values.reshape(len(values), -1)[row][at[0]]
    shown = "a missing value" if value != value else f"{value:g}" if values.dtype.kind == "f" else str(value)
    raise BadRow(row, f"{shown} {what}", at=at)
