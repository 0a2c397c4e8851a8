"""Checks of a transform's input (dtype, missing values), with the same error messages for all transforms."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerascli.data.base import EXACT_IN_FLOAT32, Field
from kerascli.data.pipeline.columns import IMPUTE
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.convert import converted
from kerascli.data.storage.table import BadRow, Refusal, first_wrong
from kerascli.data.storage.tokens import Tokens
from kerascli.preprocessing.categories import encoded_shape, vector_dtype


def need_numbers(field: Field) -> None:
    """Raise ValueError if the input of a transform is text."""
    if field.is_text:
        remedy = "add string_lookup (for strings) or cast (for numbers in text) before it"
        raise ValueError(f"needs numbers, got text; {remedy}")


def need_text(field: Field) -> None:
    """Raise ValueError if the input of a transform is known to be numeric."""
    if not field.is_text and field.dtype != "unknown":
        raise ValueError(f"needs text, got numbers ({field.dtype})")


def need_like(field: Field, setting: str, value: object) -> None:
    """Raise ValueError if a setting's value is text for a column of numbers, or a number for one of text."""
    if value is not None and field.dtype != "unknown" and isinstance(value, str) != field.is_text:
        raise ValueError(f"{setting} {value!r} does not match dtype {field.dtype}")


def check_value(value: float, dtype: str) -> None:
    """Raise ValueError for a setting `value` that a dtype cannot represent."""
    try:
        converted(np.array([value]), np.dtype(dtype))
    except BadRow as bad:
        raise ValueError(f"value: {bad.text}") from None


def float_dtype(field: Field) -> str:
    """Return the dtype in which a transform computes: float32 if it represents the input exactly, else float64."""
    if field.dtype == "unknown":
        return "unknown"
    return "float32" if field.dtype in EXACT_IN_FLOAT32 else "float64"


def computed(field: Field, dtype: str | None = None) -> Field:
    """Return the field of numbers that are computed from those of a column, in `dtype` (None: `float_dtype`).

    Raises ValueError for text.
    """
    need_numbers(field)
    return replace(field, dtype=dtype or float_dtype(field), num_classes=None, classes=None)


def need_integers(field: Field) -> None:
    """Raise ValueError if the input of a transform is text or floating point."""
    need_numbers(field)
    if not field.is_integer:
        raise ValueError(f"needs integers, got {field.dtype}; add cast: int64 before it")


def encoded(field: Field, mode: str, size: int | None, **facts: Any) -> Field:
    """Return the field of a column of category ids that are encoded in an output mode, with further facts about it."""
    return replace(field, shape=encoded_shape(field.shape, mode, size), dtype=vector_dtype(mode), **facts)


def checked_finite(rows: Blocks, step: str) -> Iterator[np.ndarray]:
    """Yield the training rows of transform `step` in pieces. Raises BadRow for missing (nan) or infinite values."""
    for part in rows.parts():
        bad = ~np.isfinite(part)
        if bad.any():
            row, at, wrong = first_wrong(bad)
            is_gap, hint = np.isnan(part[row]).any(), f"add impute before {step}: {IMPUTE}"
            text, hint = ("missing value", hint) if is_gap else ("infinite value", None)
            raise BadRow(row, text, at=at, hint=hint, rows=wrong)
        yield part


def gap(mask: Tensor, step: str) -> Refusal:
    """Return the refusal of missing texts; `step` is the name of the transform in its hint."""
    return Refusal(mask, lambda _: "missing value", lambda _: f"add {{impute: most_frequent}} before {step}")


def tally(tokens: Tokens, mode: str, size: int) -> Tensor:
    """Encode rows of category ids as vectors (rows, size), of bytes in mode multi_hot, else of counts; ids out of
    range are dropped."""
    ids, owners = tokens.values, tokens.owners()
    there = (ids >= 0) & (ids < size)
    cells = torch.from_numpy(owners[there] * size + ids[there])
    out = torch.zeros(len(tokens.lengths) * size, dtype=torch.uint8 if mode == "multi_hot" else torch.float32)
    ones = out.new_ones(len(cells))
    return (out.scatter_(0, cells, ones) if mode == "multi_hot" else out.scatter_add_(0, cells, ones)).view(-1, size)
