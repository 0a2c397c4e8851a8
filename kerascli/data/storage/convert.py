"""Convert numbers to another dtype, refusing values that it cannot represent."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from kerascli.data.storage.table import Refusal, first_wrong
from kerascli.foundation.errors import safe_text

BEYOND_FLOATS = 2**53
"""Largest integer up to which float64 represents all integers exactly."""
IDS = "for ids use integer_lookup, hashing or an embedding; for times, rescaling or normalization to small numbers"

_WIDER = {"uint16": "int32", "uint32": "int64"}


def as_tensor(values: np.ndarray) -> Tensor:
    """Return numbers as a tensor, unsigned integers in a signed dtype that holds them."""
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype == np.uint64 and int(values.max(initial=0)) < 2**63:
        values = values.view(np.int64)
    values = values.astype(_WIDER.get(values.dtype.name, values.dtype), copy=False)
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def converted(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert an array of numbers to `dtype`. Raises BadRow for the first value that it cannot represent."""
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        made = values.astype(dtype)
    if values.dtype.kind == made.dtype.kind == "f" and np.isfinite(made).all():  # as nearly always
        return made
    if bad := first_refused(not_in(dtype.name, as_tensor(values))):
        row, at, rows, refusal = bad
        raise refusal.about(values.reshape(len(values), -1)[row, at[0]].item(), row, at, rows)
    return made


Refused = tuple[int, tuple[int, int], np.ndarray, Refusal]
"""Refused value: row, position in the row, all rows that are refused like it, and the refusal."""


def first_refused(refusals: Iterable[Refusal], codes: np.ndarray | None = None) -> Refused | None:
    """Return the first value that is refused; None if there is none.

    With `codes`, the refusals are about distinct values, and the rows (N, *) hold their indices.
    """
    bad: list[Refused] = []
    for refusal in refusals:
        mask = refusal.mask.numpy()
        mask = mask[codes] if codes is not None and mask.any() else mask
        if mask.any():
            bad.append((*first_wrong(mask), refusal))
    return min(bad, key=lambda each: each[:2], default=None)


def not_in(dtype: str, x: Tensor) -> Iterator[Refusal]:
    """Yield the numbers that a dtype cannot represent.

    Floats accept all integers up to 2**53 (float32 rounds them, as any number), larger ones only if float64 represents
    them exactly: such integers are ids, not quantities.
    """
    made: torch.dtype = getattr(torch, dtype)
    is_integer = not x.is_floating_point() and x.dtype != torch.bool
    if x.dtype == made:
        return
    if made == torch.bool:
        yield Refusal((x != 0) & (x != 1), lambda value: f"{_shown(value)} is neither 0 nor 1")
    elif made.is_floating_point and is_integer:
        text = "would be rounded: floats are exact for integers up to 2**53"
        yield Refusal(_is_rounded(x), lambda value: f"{value} {text}", lambda _: IDS)
    elif made.is_floating_point and x.is_floating_point():
        large = x.to(made).isinf() & ~x.isinf()
        yield Refusal(large, lambda value: f"{_shown(value)} is too large for {dtype}")
    elif not made.is_floating_point and x.dtype != torch.bool:
        if x.is_floating_point():
            yield Refusal(~(x == x.trunc()) | x.isinf(), lambda value: f"{_shown(value)} is not an integer")
        if not is_integer or made != torch.int64 or x.dtype == torch.uint64:
            low, high = torch.iinfo(made).min, torch.iinfo(made).max
            outside = (x.double() < low) | (x.double() >= float(high + 1))
            yield Refusal(outside, lambda value: f"{_shown(value)} is outside {low}..{high} ({dtype})")


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return safe_text(value, 40) if value else "a missing value"
    return "a missing value" if value != value else f"{value:g}" if isinstance(value, float) else str(value)


def _is_rounded(x: Tensor) -> Tensor:
    """Return a mask of the integers that float64 cannot represent: more than 53 bits from the highest to the lowest."""
    if x.dtype == torch.uint64:
        return torch.tensor([int(float(number)) != number for number in x.flatten().tolist()]).view(x.shape)
    x = x.long()
    return x.abs() // (x & -x).abs().clamp(min=1) > BEYOND_FLOATS


def as_records(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return arrays (rows, *) by name as one array of records (rows,), in which each row is contiguous."""
    dtype = np.dtype([(name, values.dtype, values.shape[1:]) for name, values in arrays.items()])
    return np.rec.fromarrays([*arrays.values()], dtype).view(dtype, np.ndarray)


def first_rounded(values: np.ndarray) -> tuple[int, tuple[int, int], int] | None:
    """Return (row, position in the row, value) of the first integer that float64 cannot represent exactly, or None.

    The position is as `BadRow.at`.
    """
    if bad := first_refused(not_in("float64", as_tensor(values))):
        row, at, _, _ = bad
        return row, at, int(values.reshape(len(values), -1)[row, at[0]])
    return None
