"""Checks of transforms' learned state (vocabulary, mean ...) from an untrusted file; each raises ValueError."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from kerascli.foundation.errors import safe_text

_LARGEST = 2**53


def check_names(
    facts: Mapping[str, Any], arrays: Mapping[str, Any], fact_names: Collection[str], array_names: Collection[str]
) -> None:
    """Raise ValueError unless the JSON values and arrays of a transform's learned state have exactly the expected
    names."""
    for noun, names, expected_names in (("facts", facts, fact_names), ("arrays", arrays, array_names)):
        if set(names) != set(expected_names):
            expected = ", ".join(expected_names) or "none"
            raise ValueError(f"learned {noun}: expected {expected}, got {safe_text(', '.join(names), 80) or 'none'}")


def check_share(value: Any, name: str) -> None:
    """Raise ValueError unless a value of a transform's learned state is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"learned {name}: expected a number from 0 to 1")


def checked_integer(facts: Mapping[str, Any], name: str, least: int = 0) -> int:
    """Return the value `name` of a transform's learned state. Raises ValueError unless it is an integer of at least
    `least`."""
    value = facts[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
        raise ValueError(f"learned {name}: expected an integer from {least} on")
    return value


def checked_list(facts: Mapping[str, Any], name: str, kind: type[int] | type[str]) -> list[Any]:
    """Return the value `name` of a transform's learned state. Raises ValueError unless it is a list of integers or of
    strings.

    `kind` says which of the two.
    """
    values = facts[name]
    noun = "strings" if kind is str else "integers of 64 bits"
    fits = isinstance(values, list) and all(type(value) is kind for value in values)
    if not fits or (kind is int and not all(-(2**63) <= value < 2**63 for value in values)):
        raise ValueError(f"learned {name}: expected a list of {noun}")
    return values


def check_array(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...], kind: str = "f") -> None:
    """Raise ValueError unless the learned array `name` is finite and has this shape (None: any size) and dtype kind."""
    array = arrays[name]
    fits = array.ndim == len(shape) and all(n in (None, size) for n, size in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind != kind:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        expected = f"{'floats' if kind == 'f' else 'integers'} of shape [{sizes}]"
        raise ValueError(f"learned {name}: expected {expected}, got {array.dtype} of shape {list(array.shape)}")
    if kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"learned {name}: a value is not finite")
