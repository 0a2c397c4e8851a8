"""What transforms check of their inputs, in one wording."""

from kerascli.data.base import EXACT_IN_FLOAT32, Field


def need_numbers(field: Field) -> None:
    """Raises ValueError for text."""
    if field.is_text:
        raise ValueError("needs numbers, got text; put string_lookup (words) or cast (numbers in text) before it")


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
