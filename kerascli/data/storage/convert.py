"""Numbers in another type, where that type holds every one of them."""

import numpy as np

from kerascli.data.storage.table import BadRow, first_wrong

BEYOND_FLOATS = 2**53
"""Beyond it float64 leaves whole numbers out."""
IDS = "ids are for integer_lookup, hashing or an embedding; of a time, rescaling or normalization makes a small number"


def converted(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The same numbers in `dtype`; raises BadRow for the first that it cannot hold.

    Floats take all whole numbers up to 2**53 (float32 rounds them as it rounds any number), beyond that those alone
    that float64 holds: so large are ids, not quantities.
    """
    if values.dtype == dtype:
        return values
    if dtype.kind == "b":
        _refuse(values, (values != 0) & (values != 1), "is neither 0 nor 1")
    if dtype.kind in "iu":
        if values.dtype.kind == "f":
            _refuse(values, ~np.isfinite(values) | (values != np.trunc(values)), "is no whole number")
        limits = np.iinfo(dtype)
        with np.errstate(over="ignore"):  # to float16 these limits are infinite
            outside = (values < limits.min) | (values >= limits.max + 1)  # as a float, int64's greatest is 2**63
        _refuse(values, outside, f"is outside {limits.min}..{limits.max} ({dtype})")
    if dtype.kind == "f" and values.dtype.kind in "iu" and (found := first_rounded(values)) is not None:
        row, at, value = found
        raise BadRow(row, f"{value} would be rounded: floats hold whole numbers up to 2**53", at=at, hint=IDS)
    with np.errstate(over="ignore"):
        out = values.astype(dtype)
    if dtype.kind == "f" and values.dtype.kind == "f" and dtype.itemsize < values.dtype.itemsize:
        _refuse(values, np.isinf(out) & np.isfinite(values), f"is too large for {dtype}")
    return out


def first_rounded(values: np.ndarray) -> tuple[int, tuple[int, int], int] | None:
    """The first row with a whole number that float64 does not hold, `BadRow.at` of the number, and the number."""
    if values.dtype.itemsize < 8 or not values.size:
        return None
    if int(values.max()) <= BEYOND_FLOATS and int(values.min()) >= -BEYOND_FLOATS:
        return None
    flat = values.reshape(len(values), -1)
    bits = (flat if values.dtype.kind == "u" else np.abs(flat)).astype(np.uint64)
    lowest = np.where(bits == 0, np.uint64(1), bits & (~bits + np.uint64(1)))
    rounded = bits // lowest > BEYOND_FLOATS  # more than 53 bits from the highest to the lowest that is set
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
