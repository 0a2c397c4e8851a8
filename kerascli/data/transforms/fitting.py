"""What transforms check of their inputs, in one wording."""

from collections.abc import Iterator

import numpy as np

from kerascli.data.base import EXACT_IN_FLOAT32, Field
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.table import BadRow, first_wrong


def need_numbers(field: Field) -> None:
    """Raises ValueError for text."""
    if field.is_text:
        raise ValueError("needs numbers, got text; put string_lookup (words) or cast (numbers in text) before it")


def need_text(field: Field) -> None:
    """Raises ValueError for numbers."""
    if not field.is_text and field.dtype != "unknown":
        raise ValueError(f"needs text, got numbers ({field.dtype})")


def float_dtype(field: Field) -> str:
    """What arithmetic on a column yields: float64 until float32 can hold what comes in."""
    if field.dtype == "unknown":
        return "unknown"
    return "float32" if field.dtype in EXACT_IN_FLOAT32 else "float64"


def need_integers(field: Field) -> None:
    """Raises ValueError for text and for numbers with a fraction."""
    need_numbers(field)
    if not field.is_integer:
        raise ValueError(f"needs whole numbers, got {field.dtype}; put cast: int64 before it")


def present(rows: Blocks, step: str) -> Iterator[np.ndarray]:
    """The rows in parts; raises BadRow for one that lacks a number, or has an infinite one."""
    for part in rows.parts():
        bad = ~np.isfinite(part)
        if bad.any():
            row, at = first_wrong(bad)
            raise BadRow(row, "missing value", at=at, hint=f"put impute before {step}")
        yield part
