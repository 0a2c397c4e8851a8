"""What stops a computation that is sound: no memory left, or numbers that it cannot be done with.

torch and Python have several ways of saying so, users are told in one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kerascli.errors import TrainingStopped, first_line
from kerascli.layers.base import ShapeMismatch

_CPU_WORDS = "can't allocate memory"
"""torch's allocator for the CPU raises a plain RuntimeError."""


STOPS = (RuntimeError, MemoryError, IndexError, ShapeMismatch)
"""What `stopped_by` is to look at."""
_OUTSIDE = ("out of bounds", "out of DATA bounds", "out of range")


def stopped_by(error: Exception, *, hint: str) -> TrainingStopped:
    """The error as a person is told of it. Raises it again where it is about something else."""
    text = first_line(error).rstrip(".")
    own = text.startswith(("list ", "tuple ", "string "))  # Python's words: a bug of ours
    algebra = torch.linalg.LinAlgError  # pyright: ignore[reportPrivateImportUsage]
    if isinstance(error, (ShapeMismatch, algebra)) or (not own and any(words in text for words in _OUTSIDE)):
        node = next((f"'{name}'" for name in getattr(error, "__notes__", ())), "a layer or a formula")
        what = f"with the numbers that came {node} cannot be computed: {text}"
        return TrainingStopped(what, hint="look for indices that are too large, and for matrices that have no inverse")
    if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and _CPU_WORDS not in str(error):
        raise error
    lines = str(error).splitlines()
    return TrainingStopped(": ".join(["the device has no memory left", *lines[:1]]), hint=hint)


@contextmanager
def memory_for_model() -> Iterator[None]:
    """Around the making of a model and its optimizer."""
    try:
        yield
    except STOPS as error:
        raise stopped_by(error, hint="a smaller model, or a device with more memory") from None


@contextmanager
def memory_for_batches() -> Iterator[None]:
    """Around running a model over rows."""
    try:
        yield
    except STOPS as error:
        raise stopped_by(error, hint="a smaller fit.validation_batch_size needs less") from None
