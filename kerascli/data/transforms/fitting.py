"""What transforms check of their inputs, in one wording."""

from kerascli.data.base import Field


def need_numbers(field: Field) -> None:
    """Raises ValueError for text."""
    if field.is_text:
        raise ValueError("needs numbers, got text; put string_lookup (words) or cast (numbers in text) before it")


def need_integers(field: Field) -> None:
    """Raises ValueError for text and for numbers with a fraction."""
    need_numbers(field)
    if not field.is_integer:
        raise ValueError(f"needs whole numbers, got {field.dtype}; put cast: int64 before it")
