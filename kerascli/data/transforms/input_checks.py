"""Checks of a transform's input (dtype, missing values), with the same error messages for all transforms."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from kerascli.data.base import EXACT_IN_FLOAT32, Field, Refusal
from kerascli.data.pipeline.columns import IMPUTE
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.convert import BEYOND_FLOATS, IDS
from kerascli.data.storage.table import BadRow, first_wrong
from kerascli.data.storage.tokens import Tokens
from kerascli.foundation.errors import safe_text


def need_numbers(field: Field) -> None:
    """Raise ValueError if the input of a transform is text."""
    if field.is_text:
        raise ValueError(
            "needs numbers, got text; add string_lookup (for strings) or cast (for numbers in text) before it"
        )


def need_text(field: Field) -> None:
    """Raise ValueError if the input of a transform is known to be numeric."""
    if not field.is_text and field.dtype != "unknown":
        raise ValueError(f"needs text, got numbers ({field.dtype})")


def float_dtype(field: Field) -> str:
    """Return the dtype in which a transform computes: float32 if it represents the input exactly, else float64."""
    if field.dtype == "unknown":
        return "unknown"
    return "float32" if field.dtype in EXACT_IN_FLOAT32 else "float64"


def need_integers(field: Field) -> None:
    """Raise ValueError if the input of a transform is text or floating point."""
    need_numbers(field)
    if not field.is_integer:
        raise ValueError(f"needs integers, got {field.dtype}; add cast: int64 before it")


def checked_finite(rows: Blocks, step: str) -> Iterator[np.ndarray]:
    """Yield the training rows of transform `step` in pieces. Raises BadRow for missing (nan) or infinite values."""
    for part in rows.parts():
        bad = ~np.isfinite(part)
        if bad.any():
            row, at = first_wrong(bad)
            raise BadRow(row, "missing value", at=at, hint=f"add impute before {step}: {IMPUTE}")
        yield part


def missing_numbers(x: Tensor, step: str) -> Refusal:
    """Return missing (nan) and infinite values as those that the transform `step` refuses."""
    return Refusal(~x.isfinite(), lambda _: "missing value", lambda _: f"add impute before {step}: {IMPUTE}")


def not_in(dtype: str, x: Tensor) -> Iterator[Refusal]:
    """Yield the numbers that a dtype cannot represent, as `storage.convert.converted` refuses them."""
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
        large = x.to(made).isinf() & x.isfinite()
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


def need_sequences(field: Field) -> None:
    """Raise ValueError unless a transform's input is sequences of integers, whose lengths may differ."""
    if not field.is_ragged:
        need_integers(field)
        if len(field.shape) != 1:
            raise ValueError(f"needs sequences (rows with one axis), got {len(field.shape)} axes")


def tally(tokens: Tokens, mode: str, size: int) -> Tensor:
    """Encode rows of category ids as vectors (rows, size), of bytes in mode multi_hot, else of counts; ids out of
    range are dropped."""
    ids, owners = tokens.values, tokens.owners()
    there = (ids >= 0) & (ids < size)
    cells = torch.from_numpy(owners[there] * size + ids[there])
    out = torch.zeros(len(tokens.lengths) * size, dtype=torch.uint8 if mode == "multi_hot" else torch.float32)
    ones = out.new_ones(len(cells))
    return (out.scatter_(0, cells, ones) if mode == "multi_hot" else out.scatter_add_(0, cells, ones)).view(-1, size)


def tokens_of(rows: np.ndarray | Tokens) -> Tokens:
    """Return rows of integers, of one length or of several, as sequences."""
    return rows if isinstance(rows, Tokens) else Tokens.of(rows)
