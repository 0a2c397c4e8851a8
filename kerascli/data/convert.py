"""Numbers in another type, where that type holds every one of them."""

import numpy as np

from kerascli.data.table import BadRow, first_wrong


def converted(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The same numbers in `dtype`; raises BadRow for the first that it cannot hold."""
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
    with np.errstate(over="ignore"):
        out = values.astype(dtype)
    if dtype.kind == "f" and values.dtype.kind == "f" and dtype.itemsize < values.dtype.itemsize:
        _refuse(values, np.isinf(out) & np.isfinite(values), f"is too large for {dtype}")
    return out


def _refuse(values: np.ndarray, bad: np.ndarray, what: str) -> None:
    if not bad.any():
        return
    row, at = first_wrong(bad)
    value = values.reshape(len(values), -1)[row][at[0]]
    shown = "a missing value" if value != value else f"{value:g}" if values.dtype.kind == "f" else str(value)
    raise BadRow(row, f"{shown} {what}", at=at)
