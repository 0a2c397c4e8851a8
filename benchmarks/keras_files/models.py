"""Description of one model of the corpus: how it is made, and how near its predictions have to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


class NotMade(Exception):
    """Keras makes no such model."""


@dataclass(frozen=True, slots=True)
class Made:
    """A Keras model, and inputs to call it on by the names of its input tensors (None: drawn by their shapes)."""

    model: Any
    inputs: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True, slots=True)
class KerasModel:
    """One model of the corpus. `make` is called in the process that checks it."""

    name: str
    make: Callable[[], Made]
    tolerance: float = 1e-4
    """Largest accepted difference, relative to the largest absolute value of the output (at least 1)."""
    least_spread: float = 0.01
    """Least difference between the outputs for different rows, relative as the tolerance is; with less, equality of
    predictions would show nothing. 0 for a model whose output does not depend on its input, or is small beside 1."""
    exact: Callable[[Made], Any] | None = None
    """Make the same Keras model in float64. Predictions that differ by more than the tolerance are equal if they are at
    most three times as far from this model's as Keras's own in float32: deep networks multiply errors of rounding."""
    exports: bool = True
    """False: the model has something that only the import knows, such as an operation that no file can be made of."""
    kind: str = ""
    """The row of the report that counts this model, within its part."""
